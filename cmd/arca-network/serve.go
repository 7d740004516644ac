// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/internal/heap"
	"github.com/vas-solutus/arca-network/pkg/dns"
	"github.com/vas-solutus/arca-network/pkg/hostport"
	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// stopTimeout bounds a clean end.
const stopTimeout = 20 * time.Second

// serve wires the parts and runs them until ctx is done or one fails. The API
// ends last: the others write to it.
func (o *options) serve(ctx context.Context, log logr.Logger) (err error) {
	running, asked := false, ctx
	go heap.Keep(ctx)
	defer func() {
		// To be told to stop while starting is no failure.
		if err != nil && !running && asked.Err() != nil {
			log.Info("Stopped before everything ran", "what", err.Error())
			err = nil
		}
	}()
	base, err := o.startBase(ctx, log)
	config, api, daemons, northbound := base.config, base.api, base.daemons, base.northbound
	apiDone := make(<-chan struct{})
	if api != nil {
		apiDone = api.Done()
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if e := api.Stop(stop); e != nil && err == nil {
				err = fmt.Errorf("stopping the store: %w", e)
			}
		}()
	}
	if err != nil {
		return err
	}
	ports, err := vnet.New(vnet.Options{OVSSocket: base.ovs, Bridge: "br-int", Log: log.WithName("vnet")})
	if err != nil {
		return err
	}
	if daemons != nil {
		ports.Subscribe(func(e vnet.Event) {
			switch e.Reason {
			case vnet.PortStatus:
				daemons.PortsChanged()
			case vnet.Connected, vnet.Wiped:
				go daemons.ReleaseSwitch(ctx)
			}
		})
	}
	uplink := topology.UplinkAddresses()
	rules, err := nat.New(nat.Options{Uplink: topology.UplinkInterface, Addresses: uplink, PortGroup: vnet.LinkGroup, Log: log.WithName("nat")})
	if err != nil {
		return err
	}
	names, err := o.newNameServer(log)
	if err != nil {
		return err
	}
	mgr, err := o.newManager(config, api, log)
	if err != nil {
		return err
	}
	monitor, err := o.newMonitor(log, config, api, daemons, northbound, ports, rules, names)
	if err != nil {
		return err
	}
	server, err := o.newControl(ctx, log, config, mgr, monitor)
	if err != nil {
		return err
	}
	listeners, err := o.listenControl(ctx, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	var hold controllers.Hold
	if daemons != nil {
		hold = daemons
	}
	if err := controllers.Setup(ctx, mgr, controllers.Options{
		Hold:       hold,
		Northbound: northbound,
		Ports:      ports,
		NAT:        rules,
		Sockets:    hostport.Host{Except: uplink},
		Names:      names,
		Node:       o.node,
		HostRoutes: vnet.HostRoutes,
		Workers:    o.workers,
	}); err != nil {
		return err
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-apiDone:
			return fmt.Errorf("the store ended: %w", api.Err())
		}
	})
	if daemons != nil {
		g.Go(func() error { return daemons.Run(ctx) })
		g.Go(func() error { return daemons.FollowACLs(ctx, logPolicy(log.WithName("policy"))) })
	}
	g.Go(func() error { return northbound.Run(ctx) })
	g.Go(func() error { return ports.Run(ctx) })
	g.Go(func() error { return rules.Run(ctx) })
	g.Go(func() error { return names.Run(ctx) })
	g.Go(func() error { return mgr.Start(ctx) })
	g.Go(func() error { return server.Run(ctx, listeners...) })
	g.Go(func() error { return monitor.Run(ctx) })
	g.Go(func() error { return o.watchUplink(ctx, monitor) })
	g.Go(func() error { return o.serveHealth(ctx, monitor) })
	log.Info("Running", "kubeconfig", o.usedKubeconfig(api))
	running = true
	err = g.Wait()
	log.Info("Stopped; the daemons and their traffic go on")
	return err
}

// logPolicy logs what a rule with log: true has decided.
func logPolicy(log logr.Logger) func(ovnd.ACLLine) {
	return func(l ovnd.ACLLine) {
		policy, rule, _ := strings.Cut(l.Name, "/")
		log.Info("A rule has decided", "policy", policy, "rule", rule, "verdict", l.Verdict, "direction", l.Direction, "packet", l.Packet)
	}
}

// base is what all the rest stands on.
type base struct {
	config     *rest.Config
	api        *store.Store // nil where the API is an external one
	daemons    *ovnd.Stack  // nil where they are the system's
	ovs        string
	northbound *ovnsync.Syncer
}

// startBase starts the API, and beside it the daemons, whose northbound database
// is read from then on. The daemons are touched only where the state folder is
// ours. What has started is returned with an error, too.
func (o *options) startBase(ctx context.Context, log logr.Logger) (b base, err error) {
	whole := ctx
	g, ctx := errgroup.WithContext(ctx)
	locked := make(chan struct{})
	g.Go(func() (err error) {
		b.config, b.api, err = o.startAPI(ctx, func() { close(locked) }, log)
		return err
	})
	g.Go(func() error {
		select {
		case <-locked:
		case <-ctx.Done():
			return ctx.Err()
		}
		daemons, endpoints, err := o.startDaemons(ctx, log)
		if err != nil {
			return err
		}
		b.daemons, b.ovs = daemons, endpoints.OVS
		sync := ovnsync.Options{Endpoint: endpoints.NB, Log: log.WithName("ovnsync")}
		if daemons != nil {
			sync.Held = daemons.Paused
		}
		b.northbound, err = ovnsync.New(sync)
		if err != nil {
			return err
		}
		b.northbound.Begin(whole)
		return nil
	})
	err = g.Wait()
	return b, err
}

// startAPI starts the embedded API or finds the external one. locked is called once
// the state folder is ours, or there is none.
func (o *options) startAPI(ctx context.Context, locked func(), log logr.Logger) (*rest.Config, *store.Store, error) {
	crds, err := crd.All()
	if err != nil {
		return nil, nil, err
	}
	if o.kubeconfig != "" {
		locked()
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return nil, nil, fmt.Errorf("--kubeconfig: %w", err)
		}
		config.QPS = -1
		if err := crd.Install(ctx, config); err != nil {
			return nil, nil, fmt.Errorf("installing the CustomResourceDefinitions: %w", err)
		}
		return config, nil, nil
	}
	loopback, listeners, hosts, err := o.listenAPI(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Start(ctx, store.Options{
		Dir:        o.stateDir,
		Endpoint:   o.datastore,
		Listen:     loopback,
		Listeners:  listeners,
		Hosts:      hosts,
		CRDs:       crds,
		Finalizers: controllers.Finalizers(),
		Locked:     locked,
		Log:        log.WithName("store"),
	})
	if err != nil {
		return nil, nil, err
	}
	return s.Config(), s, nil
}

func (o *options) usedKubeconfig(api *store.Store) string {
	if api == nil {
		return o.kubeconfig
	}
	return api.KubeconfigPath()
}

// startDaemons starts or adopts our own daemons, or finds the system's.
func (o *options) startDaemons(ctx context.Context, log logr.Logger) (*ovnd.Stack, ovnd.Endpoints, error) {
	if o.nb != "" {
		endpoints, err := ovnd.Attach(ctx, ovnd.AttachOptions{NB: o.nb, OVS: o.ovsSocket})
		return nil, endpoints, err
	}
	stack, err := ovnd.Start(ctx, o.daemonOptions(log))
	if err != nil {
		return nil, ovnd.Endpoints{}, err
	}
	log.Info("Daemons answer", "versions", stack.Versions())
	return stack, stack.Endpoints(), nil
}

func (o *options) daemonOptions(log logr.Logger) ovnd.Options {
	return ovnd.Options{
		Root:   o.ovnRoot,
		Dir:    filepath.Join(o.stateDir, ovnFolder),
		RunDir: o.runDir,
		Log:    log.WithName("ovnd"),
	}
}

func (o *options) newNameServer(log logr.Logger) (*dns.Server, error) {
	return dns.New(dns.Options{
		Records:          dns.NewRecords(),
		Interface:        topology.UplinkInterface,
		Addresses:        topology.UplinkAddresses(),
		ResolvConf:       "/etc/resolv.conf",
		QueriesPerSecond: o.dnsRate,
		// Others are asked on a container's behalf a tenth as often.
		ForwardsPerSecond: (o.dnsRate + 9) / 10,
		Registerer:        metrics.Registry,
		Log:               log.WithName("dns"),
	})
}

func (o *options) newManager(config *rest.Config, api *store.Store, log logr.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	objects := cache.Options{
		// Half of an object's memory, and nobody here reads them.
		DefaultTransform: cache.TransformStripManagedFields(),
	}
	if api != nil {
		objects.NewInformer = api.NewInformer(scheme)
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:           scheme,
		Logger:           log,
		Metrics:          metricsserver.Options{BindAddress: o.metrics},
		PprofBindAddress: o.pprof,
		Cache:            objects,
	})
}
