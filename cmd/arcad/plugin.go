// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/internal/logging"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/docker/engine"
	"github.com/vas-solutus/arca-network/pkg/docker/plugin"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// defaultPluginSocket is where an engine looks for a driver named arca.
const defaultPluginSocket = "unix:///run/docker/plugins/" + plugin.DriverName + ".sock"

// pluginStop is how long calls may take to end when arcad does.
const pluginStop = 10 * time.Second

// pluginCommand serves the driver alone, for an engine whose own API stays what
// it is.
func pluginCommand() *cobra.Command {
	o := struct{ target, socket, engine string }{}
	c := &cobra.Command{
		Use:   "plugin",
		Short: "Serve the network and IPAM driver \"arca\" of a Docker Engine",
		Long: `plugin serves the network and IPAM driver "arca", and nothing else. An engine on
the same host then makes arca networks beside its own:

  docker network create -d arca --ipam-driver arca n1
  docker run --network n1 -p 8080:80 IMAGE`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, flush, err := logging.New("auto", 0)
			if err != nil {
				return err
			}
			defer flush()
			listener, err := listenPlugin(cmd.Context(), log, o.socket)
			if err != nil {
				return err
			}
			return dialPlugin(cmd.Context(), log.WithName("plugin"), o.target, listener, o.engine)
		},
	}
	f := c.Flags()
	f.StringVar(&o.target, "target", localTarget, "control API of arca-network, on this host")
	f.StringVar(&o.socket, "socket", defaultPluginSocket, "where the engine finds the driver")
	f.StringVar(&o.engine, "engine", "unix:///var/run/docker.sock", "socket of the engine, which is asked which endpoints it has")
	return c
}

// validatePlugin checks what flags alone can tell.
func (o *options) validatePlugin() error {
	switch {
	case o.plugin == "":
		return nil
	case o.engine == "":
		return errors.New("--plugin-socket: needs --engine, which is asked which endpoints it has")
	case o.target != "" && !strings.HasPrefix(o.target, "unix://"):
		return fmt.Errorf("--plugin-socket: interfaces are made on this host, so arca-network has to be here too; --target %q must be unix:///PATH", o.target)
	}
	return nil
}

// listenPlugin makes the socket on which an engine finds the driver.
func listenPlugin(ctx context.Context, log logr.Logger, address string) (net.Listener, error) {
	listener, err := transport.Listen(ctx, address, transport.Options{Log: log})
	if err != nil {
		return nil, fmt.Errorf("the plugin's socket: %w", err)
	}
	return listener, nil
}

// dialPlugin serves the driver with a client of its own.
func dialPlugin(ctx context.Context, log logr.Logger, target string, listener net.Listener, engine string) error {
	client, err := control.Dial(target, nil)
	if err != nil {
		return errors.Join(fmt.Errorf("--target: %w", err), listener.Close())
	}
	defer func() { _ = client.Close() }()
	p, err := newPlugin(log, client, engine)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return servePlugin(ctx, log, p, listener, engine)
}

// newPlugin returns the engine's network and IPAM driver. It makes interfaces in
// the network namespace of this process, which must be the engine's and that of
// arca-network.
func newPlugin(log logr.Logger, client plugin.Control, engine string) (*plugin.Plugin, error) {
	docker, err := plugin.NewDockerEngine(engine)
	if err != nil {
		return nil, err
	}
	return plugin.New(plugin.Options{Control: client, Host: host{}, Engine: docker, Log: log}), nil
}

// servePlugin serves the driver until ctx is done.
func servePlugin(ctx context.Context, log logr.Logger, p *plugin.Plugin, listener net.Listener, engine string) error {
	server := &http.Server{
		Handler:           p.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	// A call on a connection that was kept from before a restart would break off.
	server.SetKeepAlivesEnabled(false)
	log.Info("Serving the driver of container engines", "address", listener.Addr().String(), "engine", engine)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the plugin: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), pluginStop)
		defer cancel()
		return server.Shutdown(stop)
	})
	return g.Wait()
}

// driver has the proxy of the engine tell its driver what is to come.
type driver struct{ *plugin.Plugin }

func (d driver) Expect(ctx context.Context, p engine.Endpoint) error {
	return d.Plugin.Expect(ctx, plugin.Expected(p))
}

func (d driver) Forget(ctx context.Context, p engine.Endpoint) error {
	return d.Plugin.Forget(ctx, plugin.Expected(p))
}

// host makes interfaces on this host.
type host struct{}

func (host) MakeLink(l plugin.Link) error {
	return vnet.EnsureHandover(vnet.Handover{Outer: l.Outer, Inner: l.Inner, Key: l.Key, MAC: l.MAC, MTU: l.MTU})
}

func (host) RemoveLink(outer, key string) error { return vnet.RemoveHandover(outer, key) }

func (host) Links() ([]plugin.Link, error) {
	pairs, err := vnet.Handovers()
	if err != nil {
		return nil, err
	}
	out := make([]plugin.Link, len(pairs))
	for i, p := range pairs {
		out[i] = plugin.Link{Outer: p.Outer, Key: p.Key}
	}
	return out, nil
}

func (host) Routes() ([]netip.Prefix, error) {
	routes, err := vnet.HostRoutes()
	return append(routes, netip.MustParsePrefix(topology.JoinCIDR), netip.MustParsePrefix(topology.JoinCIDR6)), err
}
