// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/dns"
	"github.com/vas-solutus/arca-network/pkg/health"
	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/probe"
	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// newMonitor registers the components, in the order in which people read them.
func (o *options) newMonitor(log logr.Logger, config *rest.Config, api *store.Store, daemons *ovnd.Stack,
	northbound *ovnsync.Syncer, ports *vnet.Manager, rules *nat.Manager, names *dns.Server,
) (*health.Monitor, error) {
	var storeCheck func(context.Context) error
	if api != nil {
		storeCheck = api.Check
	} else {
		var err error
		if storeCheck, err = externalAPICheck(config); err != nil {
			return nil, err
		}
	}
	var components func() []ovnd.Component
	if daemons != nil {
		components = daemons.Components
	}
	m := health.New(log.WithName("health"),
		health.StoreCheck(storeCheck),
		health.NorthboundCheck(northbound),
		health.SouthboundCheck(northbound),
		health.OpenVSwitchCheck(ports),
		health.DatapathCheck(ports),
		health.DaemonsCheck(components),
		health.DNSCheck(names.Check),
		health.NATCheck(rules),
		health.EgressCheck(o.probeEvery, o.askWorld()),
		o.diskCheck(),
	)
	northbound.Subscribe(func(e ovnsync.Event) {
		if e.All {
			m.Look(health.Northbound)
			m.Look(health.SouthboundPath)
		}
	})
	names.Subscribe(func() { m.Look(health.DNS) })
	ports.Subscribe(func(e vnet.Event) {
		if e.All {
			m.Look(health.OpenVSwitch)
			m.Look(health.Datapath)
		}
	})
	if daemons != nil {
		daemons.Subscribe(func(string) {
			for _, name := range []string{health.Daemons, health.Datapath, health.SouthboundPath} {
				m.Look(name)
			}
		})
	}
	if api != nil {
		api.Handle(health.Path, m)
	}
	return m, nil
}

// diskCheck looks at the state folder's disk. There is no folder where others keep both
// the objects and the databases.
func (o *options) diskCheck() health.Check {
	if o.kubeconfig != "" && o.nb != "" {
		return health.NotInUse(health.Disk)
	}
	return health.DiskCheck(o.stateDir)
}

// askWorld is how it is found out whether the world answers; nil where no target is given.
func (o *options) askWorld() func(context.Context) error {
	if len(o.probes) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return probe.Ask(ctx, o.probes) }
}

// watchUplink has the world asked at once when the host's way to it has changed.
func (o *options) watchUplink(ctx context.Context, m *health.Monitor) error {
	if len(o.probes) == 0 {
		return nil
	}
	return probe.Watch(ctx, vnet.LinkGroup, func() { m.Look(health.Egress) })
}

// externalAPICheck reads from an API that somebody else keeps; whether it can
// be written to is theirs to watch.
func externalAPICheck(config *rest.Config) (func(context.Context) error, error) {
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	path := "/apis/" + v1alpha1.GroupVersion.String() + "/networks"
	return func(ctx context.Context) error {
		return d.RESTClient().Get().AbsPath(path).Param("limit", "1").Do(ctx).Error()
	}, nil
}

// serveHealth serves /healthz, /readyz and the report until ctx is done.
func (o *options) serveHealth(ctx context.Context, m *health.Monitor) error {
	if o.health == "0" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.health)
	if err != nil {
		return fmt.Errorf("--health-bind-address: %w", err)
	}
	server := &http.Server{Handler: m.Handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving health: %w", err)
	}
	return nil
}
