// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	controlclient "github.com/vas-solutus/arca-network/pkg/control/client"
	"github.com/vas-solutus/arca-network/pkg/health"
)

// Health is what the server asks about health.
type Health interface {
	Report() health.Report
	// Subscribe calls fn after something has come into another state.
	Subscribe(fn func(health.Report)) (cancel func())
}

// Options is what the server works with.
type Options struct {
	// API reads and writes the objects themselves: no cache.
	API client.WithWatch
	// Cache has the objects, and its informers tell of their changes.
	Cache cache.Cache
	// Health is asked for health.
	Health Health
	// Refuses tells whether an object that is not accepted would be refused by
	// what objects there are now. Nil: a refusal always stands.
	Refuses func(ctx context.Context, o client.Object) (bool, error)
	// WatchBuffer is how many events a slow client of Watch may be behind; 1,024
	// if 0.
	WatchBuffer int
	Log         logr.Logger
}

// Limits. Whatever a client does, the server's memory is bounded.
const (
	maxConnections    = 1024
	maxStreams        = 256 // of one connection
	maxWatches        = 256
	handshakeTimeout  = 10 * time.Second
	cleanupTimeout    = 10 * time.Second
	stopTimeout       = 5 * time.Second
	keepaliveMinimum  = 10 * time.Second
	defaultDeadline   = 30 * time.Second
	syncDeadline      = 10 * time.Minute
	longestAnswerTime = 250 * time.Millisecond
)

// Server is the control API.
type Server struct {
	controlpb.UnimplementedNetworkControlServer
	options  Options
	api      client.WithWatch
	cache    cache.Cache
	schema   *schema
	hub      *hub
	locks    *locks
	watches  chan struct{}
	answered atomic.Pointer[time.Time] // when the store was last asked with success
	stopping context.Context
	stop     context.CancelCauseFunc
}

// Names of indexes of the cache. The controllers have their own of the network;
// this server does not count on them.
const (
	byNetwork   = "control/network"
	byContainer = "control/container"
	byName      = "control/name"
)

// New returns a server, and adds indexes to the cache, which must not have been
// started yet.
func New(ctx context.Context, o Options) (*Server, error) {
	o.WatchBuffer = cmp.Or(o.WatchBuffer, defaultWatchBuffer)
	s := &Server{options: o, api: o.API, cache: o.Cache, hub: newHub(), locks: newLocks(), watches: make(chan struct{}, maxWatches)}
	s.stopping, s.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	var err error
	if s.schema, err = newSchema(); err != nil {
		return nil, err
	}
	for index, of := range map[string]func(*v1alpha1.Attachment) string{
		byNetwork:   func(a *v1alpha1.Attachment) string { return a.Spec.Network },
		byContainer: func(a *v1alpha1.Attachment) string { return a.Spec.Container.ID },
	} {
		if err := o.Cache.IndexField(ctx, &v1alpha1.Attachment{}, index, func(o client.Object) []string {
			if v := of(o.(*v1alpha1.Attachment)); v != "" {
				return []string{v}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return s, o.Cache.IndexField(ctx, &v1alpha1.Network{}, byName, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Network).EffectiveDNSName()}
	})
}

// Run serves on the listeners until ctx is done, and closes them. Calls that
// wait are then answered UNAVAILABLE: what they have written is kept.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	if err := s.hub.connect(ctx, s.cache); err != nil {
		err = errors.Join(ignoreCanceled(ctx, err))
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	g := s.grpcServer()
	states := grpchealth.NewServer()
	healthpb.RegisterHealthServer(g, states)
	tell := func(r health.Report) {
		states.SetServingStatus("", serving(r.Alive))
		states.SetServingStatus(controlpb.NetworkControl_ServiceDesc.ServiceName, serving(r.Ready))
	}
	if s.options.Health != nil {
		defer s.options.Health.Subscribe(tell)()
		tell(s.options.Health.Report())
	}
	reflection.Register(g)
	metrics.InitializeMetrics(g)

	var group errgroup.Group
	for _, l := range listeners {
		s.options.Log.Info("Serving the control API", "network", l.Addr().Network(), "address", l.Addr().String())
		group.Go(func() error {
			if err := g.Serve(netutil.LimitListener(l, maxConnections)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("serving the control API on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	select {
	case err := <-ended:
		s.stop(errStopping)
		g.Stop()
		return err
	case <-ctx.Done():
	}
	states.Shutdown()
	s.stop(errStopping)
	timer := time.AfterFunc(stopTimeout, g.Stop)
	defer timer.Stop()
	g.GracefulStop()
	return <-ended
}

func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func serving(ok bool) healthpb.HealthCheckResponse_ServingStatus {
	if ok {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

func (s *Server) grpcServer() *grpc.Server {
	g := grpc.NewServer(
		grpc.ChainUnaryInterceptor(append(unaryInterceptors(s.options.Log), s.bounded)...),
		grpc.ChainStreamInterceptor(streamInterceptors(s.options.Log)...),
		grpc.MaxRecvMsgSize(controlclient.MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: controlclient.KeepalivePing, Timeout: controlclient.KeepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinimum, PermitWithoutStream: true}),
	)
	controlpb.RegisterNetworkControlServer(g, s)
	return g
}

// bounded gives every call a deadline, and ends it when the server does. What
// it waits for ends a little before the caller's deadline: at the deadline itself
// no answer that says what is missing would reach the caller any more.
func (s *Server) bounded(ctx context.Context, r any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	limit := defaultDeadline
	if info.FullMethod == controlpb.NetworkControl_Sync_FullMethodName {
		limit = syncDeadline
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
		limit -= min(longestAnswerTime, limit/10)
	}
	ctx, done := context.WithTimeout(ctx, limit)
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	release := context.AfterFunc(s.stopping, func() { cancel(errStopping) })
	defer release()
	return handler(ctx, r)
}
