// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/health"
)

// bytesCodec sends and receives messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}

// fuzzed are the calls, and a message of each that is right.
var fuzzed = []struct {
	method string
	empty  func() proto.Message
	seed   proto.Message
}{
	{controlpb.NetworkControl_CreateBridge_FullMethodName, func() proto.Message { return &controlpb.CreateBridgeRequest{} },
		&controlpb.CreateBridgeRequest{NetworkId: "n", Subnet: "10.0.0.0/24", Gateway: "10.0.0.1", Name: "x", IpRange: "10.0.0.128/25", Reserved: []string{"10.0.0.2"},
			Subnets: []*controlpb.Subnet{{Cidr: "fd00:1::/64"}}, Mtu: proto.Int32(1400), Internal: proto.Bool(true), InterContainer: proto.Bool(true),
			Labels: map[string]string{"a": "b"}, Manager: "m", Annotations: map[string]string{"docker.network.arca.dev/name": "x y"}, IpFamilies: []string{"IPv4"}}},
	{controlpb.NetworkControl_DeleteBridge_FullMethodName, func() proto.Message { return &controlpb.DeleteBridgeRequest{} }, &controlpb.DeleteBridgeRequest{NetworkId: "n"}},
	{controlpb.NetworkControl_AttachContainer_FullMethodName, func() proto.Message { return &controlpb.AttachContainerRequest{} },
		&controlpb.AttachContainerRequest{ContainerId: "c", NetworkId: "there", Ip: "10.9.0.9", Mac: "02:00:00:00:00:01", Hostname: "h",
			Interface: &controlpb.Interface{Type: "Veth", Netns: "/run/netns/x", Name: "eth1"}, Labels: map[string]string{"a": "b"}, Manager: "m"}},
	{controlpb.NetworkControl_UpdateContainer_FullMethodName, func() proto.Message { return &controlpb.UpdateContainerRequest{} },
		&controlpb.UpdateContainerRequest{ContainerId: "c", NetworkId: "there", Addresses: []string{"10.9.0.10"}, Hostname: proto.String("h"),
			Aliases: &controlpb.Aliases{Aliases: []string{"a"}}, Ports: &controlpb.PublishedPorts{Ports: []*controlpb.PublishedPort{{HostPort: 8080, ContainerPort: 80}}},
			Annotations: map[string]string{"docker.network.arca.dev/name": "x y"}}},
	{controlpb.NetworkControl_DetachContainer_FullMethodName, func() proto.Message { return &controlpb.DetachContainerRequest{} }, &controlpb.DetachContainerRequest{ContainerId: "c", NetworkId: "there"}},
	{controlpb.NetworkControl_ListBridges_FullMethodName, func() proto.Message { return &controlpb.ListBridgesRequest{} }, &controlpb.ListBridgesRequest{Manager: "m"}},
	{controlpb.NetworkControl_SetNetworkPolicy_FullMethodName, func() proto.Message { return &controlpb.SetNetworkPolicyRequest{} },
		&controlpb.SetNetworkPolicyRequest{NetworkId: "there", Rules: []*controlpb.NetworkPolicyRule{{Action: "allow", Protocol: "tcp", SourceNetwork: "any", Port: 80, Priority: 9},
			{Action: "deny", Direction: "egress", Peers: []*controlpb.PolicyPeer{{Cidr: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}},
				{Selector: &controlpb.LabelSelector{MatchLabels: map[string]string{"a": "b"}, MatchExpressions: []*controlpb.LabelExpression{{Key: "c", Operator: "Exists"}}}}}}}}},
	{controlpb.NetworkControl_GetHealth_FullMethodName, func() proto.Message { return &controlpb.GetHealthRequest{} }, &controlpb.GetHealthRequest{}},
	{controlpb.NetworkControl_GetContainerNetworks_FullMethodName, func() proto.Message { return &controlpb.GetContainerNetworksRequest{} }, &controlpb.GetContainerNetworksRequest{ContainerId: "c"}},
	{controlpb.NetworkControl_Sync_FullMethodName, func() proto.Message { return &controlpb.SyncRequest{} }, desiredState()},
	{controlpb.NetworkControl_Watch_FullMethodName, func() proto.Message { return &controlpb.WatchRequest{} }, &controlpb.WatchRequest{Version: "1-2-3", Manager: "m"}},
}

// writes are the calls that may change something, when they are not refused.
var writes = []string{
	controlpb.NetworkControl_CreateBridge_FullMethodName, controlpb.NetworkControl_DeleteBridge_FullMethodName,
	controlpb.NetworkControl_AttachContainer_FullMethodName, controlpb.NetworkControl_DetachContainer_FullMethodName,
	controlpb.NetworkControl_UpdateContainer_FullMethodName,
	controlpb.NetworkControl_SetNetworkPolicy_FullMethodName, controlpb.NetworkControl_Sync_FullMethodName,
}

// FuzzCalls sends anything to every call. Nothing crashes the server, and what
// is refused, or only reads, leaves every object as it was.
func FuzzCalls(f *testing.F) {
	d := controlpb.NetworkControl_ServiceDesc
	if all := len(d.Methods) + len(d.Streams); len(fuzzed) != all {
		f.Fatalf("%d calls are tried of %d", len(fuzzed), all)
	}
	for i, c := range fuzzed {
		raw, err := proto.Marshal(c.seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), raw)
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0x0a, 0x02, 0xff, 0xfe}) // not UTF-8
		f.Add(uint8(i), []byte{0x0a, 0x80})             // cut off
		f.Add(uint8(i), append(raw, raw...))
		for cut := 3; cut < len(raw); cut += 1 + len(raw)/8 {
			f.Add(uint8(i), raw[:cut])
		}
	}
	h := &told{}
	h.tell(health.Report{State: health.OK, Alive: true, Ready: true})
	w := startWorldWith(f, atOnce, control.Options{Health: h})
	w.network(f, "there", "10.9.0.0/24")
	before := w.objects(f)
	f.Fuzz(func(t *testing.T, i uint8, message []byte) {
		c := fuzzed[int(i)%len(fuzzed)]
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := send(ctx, w.Conn(), c.method, message)
		code := status.Code(err)
		switch {
		case proto.Unmarshal(message, c.empty()) != nil: // the answer is gRPC's own
		case code == codes.Internal, code == codes.Unknown, code == codes.DataLoss, code == codes.Unavailable:
			t.Errorf("%s: %v", c.method, err)
		}
		after := w.objects(t)
		diff := cmp.Diff(before, after)
		// DEADLINE_EXCEEDED says that what was written is kept.
		mayChange := slices.Contains(writes, c.method) && (code == codes.OK || code == codes.DeadlineExceeded)
		if diff != "" && !mayChange {
			t.Errorf("%s: %v; it has changed something (-before +after):\n%s", c.method, err, diff)
		}
		if diff != "" {
			w.reset(t)
			before = w.objects(t)
		}
	})
}

// objects are all that there are, with what is wanted of them.
func (w *world) objects(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{&v1alpha1.NetworkList{}, &v1alpha1.AttachmentList{}, &v1alpha1.PolicyList{}} {
		if err := w.api.List(within(t, patience), list); err != nil {
			t.Fatal(err)
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
			if err != nil {
				return err
			}
			c := o.(client.Object)
			wanted, err := json.Marshal([]any{fields["spec"], c.GetLabels(), c.GetAnnotations(), c.GetDeletionTimestamp()})
			out[fmt.Sprintf("%T/%s", o, c.GetName())] = string(wanted)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// send calls a method with a message as it is. Of a stream it reads what there
// is already.
func send(ctx context.Context, conn *grpc.ClientConn, method string, message []byte) error {
	var out []byte
	if method != controlpb.NetworkControl_Watch_FullMethodName {
		return conn.Invoke(ctx, method, &message, &out, grpc.ForceCodec(bytesCodec{}))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodec(bytesCodec{}))
	if err != nil {
		return err
	}
	if err := s.SendMsg(&message); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for {
		if err := s.RecvMsg(&out); err != nil {
			return err
		}
		e := &controlpb.WatchEvent{}
		if err := proto.Unmarshal(out, e); err != nil {
			return fmt.Errorf("the answer is no event: %w", err)
		}
		if e.Type == controlpb.WatchEvent_SYNCED {
			return nil
		}
	}
}

// reset deletes everything but the network that is there from the beginning.
func (w *world) reset(t testing.TB) {
	t.Helper()
	for _, o := range []client.Object{&v1alpha1.Attachment{}, &v1alpha1.Policy{}, &v1alpha1.Network{}} {
		if err := w.api.DeleteAllOf(within(t, patience), o); err != nil {
			t.Fatal(err)
		}
	}
	w.network(t, "there", "10.9.0.0/24")
}
