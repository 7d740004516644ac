// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// request is what a configuration and CNI_ARGS come to.
func request(t *testing.T, conf, args string) (*controlpb.AttachContainerRequest, origins, error) {
	t.Helper()
	c, err := loadConfig([]byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	a, err := loadArgs(args)
	if err != nil {
		t.Fatal(err)
	}
	return attachRequest(c, attachment{container: "c1", ifname: "eth0", netns: "/run/netns/c1", args: a})
}

func TestRequest(t *testing.T) {
	for _, tt := range []struct{ name, config, args, want string }{
		{
			"nothing but the interface", `{}`, "",
			`{"labels": {"cni.network.arca.dev/network": "n"},
			  "annotations": {"cni.network.arca.dev/config": "n", "cni.network.arca.dev/container": "c1", "cni.network.arca.dev/ifname": "eth0"}}`,
		},
		{
			"all capabilities",
			`{"runtimeConfig": {"mac": "02:00:00:00:00:01", "ips": ["10.88.0.9/24", "fd00::9"], "aliases": ["b", "a"],
			   "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}],
			   "bandwidth": {"ingressRate": 1000000, "ingressBurst": 2147483647, "egressRate": 2000000, "egressBurst": 0}},
			  "args": {"cni": {"labels": [{"key": "app", "value": "shop"}], "ips": ["10.88.0.10"]}}}`,
			"IP=10.88.0.11;MAC=02:00:00:00:00:02",
			`{"mac": "02:00:00:00:00:01", "addresses": ["10.88.0.9", "fd00::9"], "aliases": ["a", "b"],
			  "ports": [{"hostIp": "127.0.0.1", "hostPort": 8080, "hostPortEnd": 8080, "containerPort": 80, "protocol": "tcp"}],
			  "bandwidth": {"ingress": {"rate": 1000000, "burst": 2147483647}, "egress": {"rate": 2000000}},
			  "labels": {"cni.network.arca.dev/network": "n", "app": "shop"},
			  "annotations": {"cni.network.arca.dev/config": "n", "cni.network.arca.dev/container": "c1", "cni.network.arca.dev/ifname": "eth0"}}`,
		},
		{
			"CNI_ARGS", `{"runtimeConfig": {"bandwidth": {}}}`,
			"IgnoreUnknown=1;FOO=bar;IP=10.88.0.11/24;MAC=02:00:00:00:00:02;K8S_POD_NAME=web;K8S_POD_NAMESPACE=shop;K8S_POD_UID=u",
			`{"mac": "02:00:00:00:00:02", "addresses": ["10.88.0.11"], "aliases": ["web", "web.shop"],
			  "labels": {"cni.network.arca.dev/network": "n"},
			  "annotations": {"cni.network.arca.dev/config": "n", "cni.network.arca.dev/container": "c1", "cni.network.arca.dev/ifname": "eth0",
			    "cni.network.arca.dev/pod-name": "web", "cni.network.arca.dev/pod-namespace": "shop", "cni.network.arca.dev/pod-uid": "u"}}`,
		},
		{
			"args before CNI_ARGS", `{"args": {"cni": {"ips": ["10.88.0.10"]}}}`, "IP=10.88.0.11",
			`{"addresses": ["10.88.0.10"], "labels": {"cni.network.arca.dev/network": "n"},
			  "annotations": {"cni.network.arca.dev/config": "n", "cni.network.arca.dev/container": "c1", "cni.network.arca.dev/ifname": "eth0"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := request(t, `{"name": "n", "network": "web", `+tt.config[1:len(tt.config)-1]+comma(tt.config)+`"type": "arca-cni"}`, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			want := &controlpb.AttachContainerRequest{}
			if err := protojson.Unmarshal([]byte(tt.want), want); err != nil {
				t.Fatal(err)
			}
			want.Interface = &controlpb.Interface{Type: "Veth", Netns: "/run/netns/c1", Name: "eth0"}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPodNamesAsAliases(t *testing.T) {
	long := strings.Repeat("p", 63)
	for args, want := range map[string]string{
		"K8S_POD_NAME=web;K8S_POD_NAMESPACE=shop":           "web web.shop",
		"K8S_POD_NAME=web":                                  "web",
		"K8S_POD_NAMESPACE=shop":                            "",
		"K8S_POD_NAME=web-;K8S_POD_NAMESPACE=shop":          "web-.shop",
		"K8S_POD_NAME=a..b;K8S_POD_NAMESPACE=shop":          "",
		"K8S_POD_NAME=" + long + ";K8S_POD_NAMESPACE=shop":  long,
		"K8S_POD_NAME=" + long + "p;K8S_POD_NAMESPACE=shop": "",
	} {
		r, _, err := request(t, `{"name": "n", "network": "web"}`, args)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.Aliases, " "); got != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
}

func comma(object string) string {
	if object == "{}" {
		return ""
	}
	return ", "
}

func TestRequestRefused(t *testing.T) {
	_, _, err := request(t, `{"name": "n", "network": "web", "runtimeConfig": {"ips": ["10.88.0.9", "ten"]}}`, "")
	isError(t, err, types.ErrInvalidNetworkConfig, `runtimeConfig.ips[1]: "ten": must be an IP address`)
	_, _, err = request(t, `{"name": "n", "network": "web"}`, "IP=ten")
	isError(t, err, types.ErrInvalidNetworkConfig, `CNI_ARGS IP[0]: "ten": must be`)
	_, _, err = request(t, `{"name": "n", "network": "web", "runtimeConfig": {"bandwidth": {"egressBurst": 5}}}`, "")
	isError(t, err, types.ErrInvalidNetworkConfig, "runtimeConfig.bandwidth.egressRate: must be given with egressBurst (5)")
	_, err = loadArgs("FOO=bar")
	isError(t, err, types.ErrInvalidEnvironmentVariables, "CNI_ARGS: unknown args")
}

// What the control API refuses is told by the names that the runtime knows.
func TestErrorsNameTheirFields(t *testing.T) {
	_, from, err := request(t, `{"name": "n", "network": "web", "runtimeConfig": {"ips": ["10.88.0.9"],
		"portMappings": [{"hostPort": 90, "containerPort": 80}, {"hostPort": 8, "containerPort": 8, "hostIP": "x"}], "bandwidth": {"ingressRate": 5}}}`, "MAC=x")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(code codes.Code, message string, fields ...string) error {
		s := status.New(code, message)
		if len(fields) > 0 {
			b := &errdetails.BadRequest{}
			for _, f := range fields {
				b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f, Description: "is wrong"})
			}
			s, _ = s.WithDetails(b)
		}
		return s.Err()
	}
	for _, tt := range []struct {
		err  error
		code uint
		want string
	}{
		{refused(codes.InvalidArgument, "m", "ports[1].host_ip", "mac"), types.ErrInvalidNetworkConfig, "runtimeConfig.portMappings[1].hostIP: is wrong; CNI_ARGS MAC: is wrong"},
		{refused(codes.InvalidArgument, "m", "ports[0]"), types.ErrInvalidNetworkConfig, "runtimeConfig.portMappings[0]: is wrong"},
		{refused(codes.InvalidArgument, "m", "bandwidth.ingress.rate"), types.ErrInvalidNetworkConfig, "runtimeConfig.bandwidth.ingressRate: is wrong"},
		{refused(codes.InvalidArgument, "m", "interface.name"), types.ErrInvalidNetworkConfig, "CNI_IFNAME: is wrong"},
		{refused(codes.AlreadyExists, "m", "addresses[0]"), errStandsAgainst, "the attachment exists and differs: runtimeConfig.ips[0]: is wrong"},
		{refused(codes.FailedPrecondition, "addresses[0]: 10.88.0.9 is in use"), errStandsAgainst, "runtimeConfig.ips[0]: 10.88.0.9 is in use"},
		{refused(codes.NotFound, "network_id: network web does not exist"), types.ErrInvalidNetworkConfig, "network: network web does not exist"},
		{refused(codes.ResourceExhausted, "no address is left"), errExhausted, "no address is left"},
		{refused(codes.DeadlineExceeded, "not in time"), types.ErrTryAgainLater, "not in time"},
		{refused(codes.Unavailable, "not there"), types.ErrTryAgainLater, "not there"},
		{refused(codes.Internal, "a bug"), types.ErrInternal, "a bug"},
	} {
		isError(t, callError(tt.err, "unix:///x", from), tt.code, tt.want)
	}
}

func TestNetworkFields(t *testing.T) {
	c, err := loadConfig([]byte(`{"name": "n", "network": "web", "subnet": "10.1.0.0/24", "gateway": "10.1.0.1", "subnets": [{"subnet": "fd00::/64", "gateway": "fd00::1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r, from := createRequest(c)
	if len(r.Subnets) != 2 || r.Subnets[0].Cidr != "10.1.0.0/24" || r.Subnets[1].Gateway != "fd00::1" || r.NetworkId != "web" {
		t.Errorf("got %v", r)
	}
	for request, want := range map[string]string{
		"subnets[0].cidr": "subnet", "subnets[0].gateway": "gateway",
		"subnets[1].cidr": "subnets[0].subnet", "subnets[1].gateway": "subnets[0].gateway", "network_id": "network",
	} {
		if got := from.of(request); got != want {
			t.Errorf("%s: got %s, want %s", request, got, want)
		}
	}
	is := func(cidr, gateway string) error {
		return sameSubnets(c, &controlpb.BridgeInfo{Name: "web", Subnets: []*controlpb.Subnet{
			{Cidr: "10.1.0.0/24", Gateway: "10.1.0.1"}, {Cidr: cidr, Gateway: gateway}}})
	}
	if err := is("fd00::/64", "fd00::1"); err != nil {
		t.Error(err)
	}
	isError(t, is("fd01::/64", "fd01::1"), types.ErrInvalidNetworkConfig, "subnets[0].subnet: fd00::/64: network web exists, with 10.1.0.0/24 and fd01::/64")
	isError(t, is("fd00::/64", "fd00::2"), types.ErrInvalidNetworkConfig, "subnets[0].gateway: fd00::1: network web exists, with fd00::2")
}
