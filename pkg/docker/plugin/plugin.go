// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Control is what the plugin needs of the control API.
type Control interface {
	CreateBridge(context.Context, *controlpb.CreateBridgeRequest, ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error)
	DeleteBridge(context.Context, *controlpb.DeleteBridgeRequest, ...grpc.CallOption) (*controlpb.DeleteBridgeResponse, error)
	ListBridges(context.Context, *controlpb.ListBridgesRequest, ...grpc.CallOption) (*controlpb.ListBridgesResponse, error)
	AttachContainer(context.Context, *controlpb.AttachContainerRequest, ...grpc.CallOption) (*controlpb.AttachContainerResponse, error)
	UpdateContainer(context.Context, *controlpb.UpdateContainerRequest, ...grpc.CallOption) (*controlpb.AttachContainerResponse, error)
	DetachContainer(context.Context, *controlpb.DetachContainerRequest, ...grpc.CallOption) (*controlpb.DetachContainerResponse, error)
	GetContainerNetworks(context.Context, *controlpb.GetContainerNetworksRequest, ...grpc.CallOption) (*controlpb.GetContainerNetworksResponse, error)
	Watch(context.Context, *controlpb.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.WatchEvent], error)
}

// Link is a pair of interfaces: the outer end is plugged into a network, the
// engine puts the inner end into a container.
type Link struct {
	Outer, Inner string
	// Key is the plugin's name for the pair.
	Key string
	MAC net.HardwareAddr
	MTU int
}

// Host is what is done on the host of the engine.
type Host interface {
	// MakeLink makes a pair that may be there already.
	MakeLink(Link) error
	// RemoveLink removes the pair of a key; none is success.
	RemoveLink(outer, key string) error
	// Links are the pairs that there are; only Outer and Key are needed.
	Links() ([]Link, error)
	// Routes are ranges that no network can have: what the host routes elsewhere.
	Routes() ([]netip.Prefix, error)
}

// Engine is the engine that uses the plugin.
type Engine interface {
	// ID names the engine for as long as it keeps its networks.
	ID(ctx context.Context) (string, error)
	// Endpoints are the engine's networks of this driver and the endpoints on each
	// of them, by their ids. It takes longer the more networks there are.
	Endpoints(ctx context.Context) (map[string]map[string]bool, error)
	// ResolvConf is the path, on this host, of the file that is a container's
	// /etc/resolv.conf.
	ResolvConf(ctx context.Context, container string) (string, error)
}

// Options are what a Plugin works with. All are needed.
type Options struct {
	Control Control
	Host    Host
	Engine  Engine
	Log     logr.Logger
}

// Plugin is both drivers.
type Plugin struct {
	control Control
	host    Host
	engine  Engine
	log     logr.Logger
	now     func() time.Time

	pools    *pools
	locks    *locks
	known    *hints[place]  // where endpoints are
	stands   *hints[string] // which Network objects an engine's networks stand for
	removals removals
	// released are addresses of endpoints that have just been deleted.
	released *released
	sweeper  *sweeper
	unasked  unasked
	// brokeOff is when a call broke off last.
	brokeOff atomic.Pointer[time.Time]
}

// New returns a Plugin. It does nothing by itself before Run.
func New(o Options) *Plugin {
	p := &Plugin{control: again{o.Control}, host: o.Host, engine: o.Engine, log: o.Log, now: time.Now}
	p.locks = newLocks(func() time.Time { return p.now() })
	p.pools = &pools{now: p.now}
	p.known, p.stands = newHints[place](), newHints[string]()
	p.released = &released{now: p.now, when: map[releasedAddress]time.Time{}}
	p.sweeper = newSweeper()
	p.unasked.of = map[string]*nameServer{}
	return p
}
