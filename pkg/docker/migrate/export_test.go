// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"github.com/google/go-cmp/cmp"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

type full struct{ controlpb.NetworkControlClient }

func (full) ListBridges(context.Context, *controlpb.ListBridgesRequest, ...grpc.CallOption) (*controlpb.ListBridgesResponse, error) {
	return &controlpb.ListBridgesResponse{Bridges: []*controlpb.BridgeInfo{{
		NetworkId: "0a", Name: "web", Mtu: 1400, InterContainer: false, EgressMode: "Routed", IpFamilies: []string{"IPv4"},
		Labels: map[string]string{"app": "shop"}, Annotations: map[string]string{"docker.network.arca.dev/driver": "bridge", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
		Subnets: []*controlpb.Subnet{{Cidr: "10.1.0.0/24", Gateway: "10.1.0.1", Reserved: []string{"10.1.0.9"}}},
	}}}, nil
}

func (full) GetContainerNetworks(context.Context, *controlpb.GetContainerNetworksRequest, ...grpc.CallOption) (*controlpb.GetContainerNetworksResponse, error) {
	return &controlpb.GetContainerNetworksResponse{Networks: []*controlpb.ContainerNetwork{
		{Name: "gone.0a", Deleting: true},
		{Name: "c1.0a", NetworkId: "0a", ContainerId: "c1", Addresses: []string{"10.1.0.2/24"}, LinkLocalAddresses: []string{"169.254.8.8"}, MacAddress: "02:00:00:00:00:01",
			Interface: &controlpb.Interface{Type: "Veth", Netns: "/run/netns/c1", Name: "eth0"},
			Ports:     []*controlpb.PublishedPort{{HostPort: 8080, ContainerPort: 80}}},
	}}, nil
}

func (full) Watch(context.Context, *controlpb.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error) {
	return &stream{events: []*controlpb.WatchEvent{
		{Object: &controlpb.WatchEvent_Network{Network: &controlpb.BridgeInfo{NetworkId: "0a"}}},
		{Object: &controlpb.WatchEvent_Policy{Policy: &controlpb.PolicyInfo{Name: "gone", Deleting: true}}},
		{Object: &controlpb.WatchEvent_Policy{Policy: &controlpb.PolicyInfo{
			Name: "shop", Priority: 7, Labels: map[string]string{"app": "shop"},
			Selector: &controlpb.LabelSelector{MatchExpressions: []*controlpb.LabelExpression{{Key: "tier", Operator: "In", Values: []string{"a", "b"}}}},
			Ingress: []*controlpb.NetworkPolicyRule{{Action: "allow", Protocol: "tcp", Direction: "ingress", Log: true,
				Ports: []*controlpb.PortRange{{Port: 80}, {Port: 90, PortEnd: 99}}, Peers: []*controlpb.PolicyPeer{{Network: "0a"}, {Internet: true}}}},
			Egress: []*controlpb.NetworkPolicyRule{{Action: "reject", Direction: "egress", Peers: []*controlpb.PolicyPeer{{Cidr: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}}}},
		}}},
		{Type: controlpb.WatchEvent_SYNCED},
	}}, nil
}

type stream struct {
	grpc.ClientStream
	events []*controlpb.WatchEvent
}

func (s *stream) Recv() (*controlpb.WatchEvent, error) {
	e := s.events[0]
	s.events = s.events[1:]
	return e, nil
}

func TestExport(t *testing.T) {
	got, err := Export(context.Background(), full{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: network.arca.dev/v1alpha1
kind: Network
metadata:
  annotations:
    docker.network.arca.dev/driver: bridge
  labels:
    app: shop
  name: 0a
spec:
  dnsName: web
  egress:
    mode: Routed
  interContainer: false
  ipFamilies:
  - IPv4
  mtu: 1400
  subnets:
  - cidr: 10.1.0.0/24
    gateway: 10.1.0.1
    reserved:
    - 10.1.0.9
---
apiVersion: network.arca.dev/v1alpha1
kind: Policy
metadata:
  labels:
    app: shop
  name: shop
spec:
  egress:
  - action: Reject
    peers:
    - cidr: 10.0.0.0/8
      except:
      - 10.1.0.0/16
  ingress:
  - action: Allow
    log: true
    peers:
    - network: 0a
    - internet: true
    ports:
    - port: 80
    - endPort: 99
      port: 90
    protocol: tcp
  priority: 7
  selector:
    matchExpressions:
    - key: tier
      operator: In
      values:
      - a
      - b
---
apiVersion: network.arca.dev/v1alpha1
kind: Attachment
metadata:
  name: c1.0a
spec:
  addresses:
  - 10.1.0.2
  container:
    id: c1
  interface:
    name: eth0
    netns: /run/netns/c1
    type: Veth
  linkLocalAddresses:
  - 169.254.8.8
  mac: "02:00:00:00:00:01"
  network: 0a
  ports:
  - containerPort: 80
    hostPort: 8080
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
