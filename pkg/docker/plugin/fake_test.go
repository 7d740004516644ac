// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/ipam"
)

// fakeControl keeps objects as the control API would, in memory: one address for
// one attachment, one host port for one attachment, no overlapping subnets.
type fakeControl struct {
	mu          sync.Mutex
	networks    map[string]*controlpb.BridgeInfo
	pools       map[string][]*ipam.Pool
	attachments map[string]*controlpb.ContainerNetwork
	made        int
	updates     int
	// away is how many calls find the server away; broken fails attachments after
	// they were made.
	away   int
	broken error
	// lost is how many lists of all objects break off before their end.
	lost int
	busy map[int32]bool // host ports that a process listens on
	// written is called when an attachment was updated, bridged when a network was
	// made, before that is answered.
	written, bridged func()
}

func newFakeControl() *fakeControl {
	return &fakeControl{
		networks: map[string]*controlpb.BridgeInfo{}, pools: map[string][]*ipam.Pool{},
		attachments: map[string]*controlpb.ContainerNetwork{}, busy: map[int32]bool{},
	}
}

func refuse(code codes.Code, reason, format string, args ...any) error {
	s, err := status.New(code, fmt.Sprintf(format, args...)).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "network.arca.dev"})
	if err != nil {
		return err
	}
	return s.Err()
}

// enter begins a call.
func (f *fakeControl) enter() (func(), error) {
	f.mu.Lock()
	if f.away > 0 {
		f.away--
		f.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "the store is away")
	}
	return f.mu.Unlock, nil
}

func (f *fakeControl) CreateBridge(_ context.Context, r *controlpb.CreateBridgeRequest, _ ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer func() {
		leave()
		if f.bridged != nil {
			f.bridged()
		}
	}()
	if f.networks[r.GetNetworkId()] != nil {
		return &controlpb.CreateBridgeResponse{}, nil
	}
	b := &controlpb.BridgeInfo{
		NetworkId: r.GetNetworkId(), Name: r.GetName(), Internal: r.GetInternal(), Mtu: r.GetMtu(), Annotations: r.GetAnnotations(),
		InterContainer: r.InterContainer == nil || r.GetInterContainer(), EgressMode: r.GetEgress().GetMode(),
	}
	subnets := r.GetSubnets()
	if len(subnets) == 0 {
		subnets = []*controlpb.Subnet{{Cidr: "172.30.0.0/16"}}
	}
	var pools []*ipam.Pool
	for _, s := range subnets {
		cidr := netip.MustParsePrefix(s.GetCidr())
		for _, n := range f.networks {
			for _, have := range n.GetSubnets() {
				if netip.MustParsePrefix(have.GetCidr()).Overlaps(cidr) {
					return nil, refuse(codes.FailedPrecondition, reasonSubnetOverlap, "subnets: %s overlaps %s", cidr, have.GetCidr())
				}
			}
		}
		in := ipam.Subnet{CIDR: cidr}
		if s.GetGateway() != "" {
			in.Gateway = netip.MustParseAddr(s.GetGateway())
		}
		if s.GetIpRange() != "" {
			in.AllocationRange = netip.MustParsePrefix(s.GetIpRange())
		}
		for _, a := range s.GetReserved() {
			in.Reserved = append(in.Reserved, netip.MustParseAddr(a))
		}
		pool, err := ipam.NewPool(in)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		pools = append(pools, pool)
		b.Subnets = append(b.Subnets, &controlpb.Subnet{Cidr: s.GetCidr(), Gateway: pool.Gateway().String(), IpRange: s.GetIpRange(), Reserved: s.GetReserved()})
	}
	f.networks[b.NetworkId], f.pools[b.NetworkId] = b, pools
	return &controlpb.CreateBridgeResponse{}, nil
}

func (f *fakeControl) DeleteBridge(_ context.Context, r *controlpb.DeleteBridgeRequest, _ ...grpc.CallOption) (*controlpb.DeleteBridgeResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, a := range f.attachments {
		if a.GetNetworkId() == r.GetNetworkId() {
			return nil, refuse(codes.FailedPrecondition, "NetworkInUse", "network %s is in use", r.GetNetworkId())
		}
	}
	delete(f.networks, r.GetNetworkId())
	return &controlpb.DeleteBridgeResponse{}, nil
}

func (f *fakeControl) ListBridges(_ context.Context, r *controlpb.ListBridgesRequest, _ ...grpc.CallOption) (*controlpb.ListBridgesResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	out := &controlpb.ListBridgesResponse{}
	for _, id := range slices.Sorted(maps.Keys(f.networks)) {
		if r.GetNetworkId() != "" && r.GetNetworkId() != id {
			continue
		}
		b := f.networks[id]
		b.Containers = nil
		for _, a := range f.attachments {
			if a.GetNetworkId() == id {
				b.Containers = append(b.Containers, a.GetContainerId())
			}
		}
		out.Bridges = append(out.Bridges, b)
	}
	return out, nil
}

func (f *fakeControl) AttachContainer(_ context.Context, r *controlpb.AttachContainerRequest, _ ...grpc.CallOption) (*controlpb.AttachContainerResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	name := r.GetContainerId() + "." + r.GetNetworkId()
	if f.attachments[name] != nil {
		return nil, status.Error(codes.AlreadyExists, "it exists")
	}
	f.made++
	a := &controlpb.ContainerNetwork{
		ContainerId: r.GetContainerId(), NetworkId: r.GetNetworkId(), Name: name, MacAddress: r.GetMac(), Interface: r.GetInterface(),
		Annotations: maps.Clone(r.GetAnnotations()), Hostname: r.GetHostname(), Aliases: r.GetAliases(), Uid: fmt.Sprint(f.made),
		LinkLocalAddresses: r.GetLinkLocalAddresses(),
	}
	static := r.GetAddresses()
	if r.GetIp() != "" {
		static = append(static, r.GetIp())
	}
	if err := f.address(a, static); err != nil {
		return nil, err
	}
	f.attachments[name] = a
	if f.broken != nil {
		return nil, f.broken
	}
	return &controlpb.AttachContainerResponse{MacAddress: a.MacAddress, Addresses: a.Addresses, Gateways: a.Gateways}, nil
}

// address gives an attachment its addresses.
func (f *fakeControl) address(a *controlpb.ContainerNetwork, static []string) error {
	a.Addresses, a.Gateways = nil, nil
	for _, pool := range f.pools[a.GetNetworkId()] {
		pool.Release(a.GetName())
		var got netip.Addr
		var err error
		i := slices.IndexFunc(static, func(s string) bool { return pool.CIDR().Contains(netip.MustParseAddr(s)) })
		if i >= 0 {
			got = netip.MustParseAddr(static[i])
			err = pool.Claim(a.GetName(), got)
		} else {
			got, err = pool.Allocate(a.GetName())
		}
		var taken *ipam.TakenError
		var full *ipam.ExhaustedError
		switch {
		case errors.As(err, &taken):
			return refuse(codes.FailedPrecondition, reasonAddressInUse, "addresses: %s", err)
		case errors.As(err, &full):
			return refuse(codes.ResourceExhausted, reasonPoolExhausted, "%s", err)
		case err != nil:
			return status.Error(codes.InvalidArgument, err.Error())
		}
		a.Addresses = append(a.Addresses, netip.PrefixFrom(got, pool.CIDR().Bits()).String())
		a.Gateways = append(a.Gateways, pool.Gateway().String())
	}
	return nil
}

func (f *fakeControl) UpdateContainer(_ context.Context, r *controlpb.UpdateContainerRequest, _ ...grpc.CallOption) (*controlpb.AttachContainerResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer func() {
		leave()
		if f.written != nil {
			f.written()
		}
	}()
	f.updates++
	a := f.attachments[r.GetContainerId()+"."+r.GetNetworkId()]
	if a == nil {
		return nil, status.Error(codes.NotFound, "it does not exist")
	}
	for i, p := range r.GetPorts().GetPorts() {
		if f.busy[p.GetHostPort()] {
			return nil, refuse(codes.FailedPrecondition, reasonPortInUse, "ports[%d].host_port: a process listens on %d", i, p.GetHostPort())
		}
		for _, other := range f.attachments {
			if other != a && slices.ContainsFunc(other.GetPorts(), func(q *controlpb.PublishedPort) bool {
				return q.GetHostPort() == p.GetHostPort() && meet(listens(a, p), listens(other, q))
			}) {
				return nil, refuse(codes.FailedPrecondition, reasonPortInUse, "ports[%d].host_port: %d is published", i, p.GetHostPort())
			}
		}
	}
	if len(r.GetAddresses()) > 0 {
		if err := f.address(a, r.GetAddresses()); err != nil {
			return nil, err
		}
	}
	if r.LinkLocalAddresses != nil {
		a.LinkLocalAddresses = r.GetLinkLocalAddresses().GetAddresses()
	}
	if r.Ports != nil {
		a.Ports = r.GetPorts().GetPorts()
	}
	if r.Hostname != nil {
		a.Hostname = r.GetHostname()
	}
	if r.Aliases != nil {
		a.Aliases = r.GetAliases().GetAliases()
	}
	for k, v := range r.GetAnnotations() {
		a.Annotations[k] = v
		if v == "" {
			delete(a.Annotations, k)
		}
	}
	return &controlpb.AttachContainerResponse{}, nil
}

// listens are the families that a port of an attachment is published at.
func listens(a *controlpb.ContainerNetwork, p *controlpb.PublishedPort) (f families) {
	at, err := netip.ParseAddr(p.GetHostIp())
	f = (attachment{ContainerNetwork: a}).families()
	return families{f.ipv4 && (err != nil || at.Is4()), f.ipv6 && (err != nil || at.Is6())}
}

func meet(a, b families) bool { return a.ipv4 && b.ipv4 || a.ipv6 && b.ipv6 }

func (f *fakeControl) DetachContainer(_ context.Context, r *controlpb.DetachContainerRequest, _ ...grpc.CallOption) (*controlpb.DetachContainerResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	name := r.GetContainerId() + "." + r.GetNetworkId()
	for _, pool := range f.pools[r.GetNetworkId()] {
		pool.Release(name)
	}
	delete(f.attachments, name)
	return &controlpb.DetachContainerResponse{}, nil
}

func (f *fakeControl) GetContainerNetworks(_ context.Context, r *controlpb.GetContainerNetworksRequest, _ ...grpc.CallOption) (*controlpb.GetContainerNetworksResponse, error) {
	leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	out := &controlpb.GetContainerNetworksResponse{}
	for _, name := range slices.Sorted(maps.Keys(f.attachments)) {
		a := f.attachments[name]
		if (r.GetContainerId() == "" || r.GetContainerId() == a.GetContainerId()) && (r.GetNetworkId() == "" || r.GetNetworkId() == a.GetNetworkId()) {
			out.Networks = append(out.Networks, a)
		}
	}
	return out, nil
}

func (f *fakeControl) Watch(ctx context.Context, _ *controlpb.WatchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error) {
	all, err := f.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{})
	if err != nil {
		return nil, err
	}
	w := &fakeWatch{end: io.EOF}
	for _, a := range all.GetNetworks() {
		w.events = append(w.events, &controlpb.WatchEvent{Type: controlpb.WatchEvent_ADDED, Object: &controlpb.WatchEvent_Attachment{Attachment: a}})
	}
	w.events = append(w.events,
		&controlpb.WatchEvent{Type: controlpb.WatchEvent_ADDED, Object: &controlpb.WatchEvent_Network{Network: &controlpb.BridgeInfo{}}},
		&controlpb.WatchEvent{Type: controlpb.WatchEvent_SYNCED})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost > 0 {
		f.lost--
		w.events, w.end = w.events[:len(w.events)-1], status.Error(codes.Unavailable, "the server went away")
	}
	return w, nil
}

type fakeWatch struct {
	grpc.ClientStream
	events []*controlpb.WatchEvent
	end    error // after them
}

func (w *fakeWatch) Recv() (*controlpb.WatchEvent, error) {
	if len(w.events) == 0 {
		return nil, w.end
	}
	e := w.events[0]
	w.events = w.events[1:]
	return e, nil
}

// state tells all there is, in one line for each.
func (f *fakeControl) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for id, n := range f.networks {
		out = append(out, "network "+id+" "+n.GetSubnets()[0].GetCidr())
	}
	for _, a := range f.attachments {
		kind := "reservation"
		if e := a.GetAnnotations()[noteEndpoint]; e != "" {
			kind = "endpoint " + e
		}
		line := fmt.Sprintf("%s on %s: %s %s", kind, a.GetNetworkId(), strings.Join(a.GetAddresses(), " "), a.GetMacAddress())
		for _, p := range a.GetPorts() {
			line += fmt.Sprintf(" %s:%d>%d/%s", p.GetHostIp(), p.GetHostPort(), p.GetContainerPort(), p.GetProtocol())
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// fakeHost has links and routes.
type fakeHost struct {
	mu     sync.Mutex
	links  map[string]Link
	routes []netip.Prefix
	broken error
}

func (h *fakeHost) MakeLink(l Link) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return h.broken
	}
	h.links[l.Outer] = l
	return nil
}

func (h *fakeHost) RemoveLink(outer, key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l, ok := h.links[outer]; ok && l.Key == key {
		delete(h.links, outer)
	}
	return nil
}

func (h *fakeHost) Links() ([]Link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.links)), nil
}

func (h *fakeHost) Routes() ([]netip.Prefix, error) { return h.routes, nil }

// fakeEngine has endpoints.
type fakeEngine struct {
	mu        sync.Mutex
	id        string
	endpoints map[string]map[string]bool
	// away: it answers no question; starting: nor does it refuse one.
	away, starting bool
	// asked is called when the endpoints are asked for; patience is how long that may take.
	asked    func()
	patience time.Duration
	// located is called when a container's resolv.conf is asked for.
	located func(container string)
	// folder has the containers' resolv.conf, by their ids.
	folder string
}

func (e *fakeEngine) ResolvConf(ctx context.Context, container string) (string, error) {
	if e.starting {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if e.located != nil {
		e.located(container)
	}
	return filepath.Join(e.folder, container), nil
}

func (e *fakeEngine) ID(context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		return "", errors.New("the engine is away")
	}
	return e.id, nil
}

func (e *fakeEngine) Endpoints(ctx context.Context) (map[string]map[string]bool, error) {
	if e.asked != nil {
		e.asked()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if limit, bounded := ctx.Deadline(); bounded {
		e.patience = time.Until(limit)
	}
	if e.away {
		return nil, errors.New("the engine is away")
	}
	return e.endpoints, nil
}
