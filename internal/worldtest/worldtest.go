// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package worldtest

import (
	"context"
	"net/netip"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// Client is a client of the objects.
func Client(api *rest.Config) (client.WithWatch, error) {
	scheme := kruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.NewWithWatch(api, client.Options{Scheme: scheme})
}

// Manager is a manager that may be one of many in a process.
func Manager(api *rest.Config, scheme *kruntime.Scheme, log logr.Logger) (ctrl.Manager, error) {
	again := true
	return ctrl.NewManager(api, ctrl.Options{
		Scheme: scheme, Logger: log,
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &again},
	})
}

// NoRoutes are the routes of a host that has none: what a test chooses does not
// depend on where it runs.
func NoRoutes() ([]netip.Prefix, error) { return nil, nil }

// Controllers adds the controllers to a manager, and has what they write with run
// in g until ctx is done. The way to the daemons, which o leaves out, is filled in.
func Controllers(ctx context.Context, g *errgroup.Group, mgr ctrl.Manager, daemons ovnd.Endpoints, o controllers.Options, log logr.Logger) error {
	northbound, err := ovnsync.New(ovnsync.Options{Endpoint: daemons.NB, Log: log})
	if err != nil {
		return err
	}
	ports, err := vnet.New(vnet.Options{OVSSocket: daemons.OVS, Log: log})
	if err != nil {
		return err
	}
	o.Northbound, o.Ports, o.Node, o.HostRoutes = northbound, ports, "test", NoRoutes
	if err := controllers.Setup(ctx, mgr, o); err != nil {
		return err
	}
	g.Go(func() error { return northbound.Run(ctx) })
	g.Go(func() error { return ports.Run(ctx) })
	return nil
}

// Control has a manager's objects served by the control API, at an address, in g
// until ctx is done.
func Control(ctx context.Context, g *errgroup.Group, mgr ctrl.Manager, api client.WithWatch, address string, o control.Options) error {
	o.API, o.Cache, o.Refuses = api, mgr.GetCache(), controllers.Refuses(mgr.GetClient(), NoRoutes, nil)
	server, err := control.New(ctx, o)
	if err != nil {
		return err
	}
	listener, err := transport.Listen(ctx, address, transport.Options{})
	if err != nil {
		return err
	}
	g.Go(func() error { return server.Run(ctx, listener) })
	return nil
}
