// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/internal/logging"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/docker"
	"github.com/vas-solutus/arca-network/pkg/docker/engine"
	"github.com/vas-solutus/arca-network/pkg/docker/plugin"
)

// controlSocket is where `arca-network run` listens by itself.
const (
	controlSocket = "/run/arca-network/control.sock"
	localTarget   = "unix://" + controlSocket
)

// options are the flags of `arcad run`.
type options struct {
	listen    string
	group     string
	target    string
	tls       transport.Files
	engine    string
	plugin    string
	program   string
	arguments []string
	socket    string
	logFormat string
	verbosity int
}

func runCommand() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "run [flags] [-- FLAGS OF arca-network run]",
		Short: "Serve the Docker API until told to stop",
		Long: `run serves the Docker API on a socket, and keeps what clients ask for as objects of
arca-network: of the one at --target, or else of one that it starts on this host and
starts again when it ends. SIGTERM ends both cleanly; all traffic goes on.`,
		Example: `  arcad run
  arcad run -- --ovn-root /var/cache/arca-network/ovn-root
  arcad run --target unix:///run/arca-network/control.sock --engine unix:///var/run/docker.sock`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.arguments = args
			if err := o.validate(); err != nil {
				return err
			}
			log, flush, err := logging.New(o.logFormat, o.verbosity)
			if err != nil {
				return err
			}
			defer flush()
			log.Info("Starting", "version", version)
			return o.run(cmd.Context(), log)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "unix:///var/run/arca.sock", "address of the Docker API: unix:///PATH, mode 0660")
	f.StringVar(&o.group, "group", "", "group of the socket, by name or number (default: this process')")
	f.StringVar(&o.target, "target", "", "control API of arca-network: unix:///PATH, vsock://CID:PORT, tcp://HOST:PORT or a socket of a VMM (default: arca-network run is started on this host)")
	f.StringVar(&o.tls.Cert, "tls-cert", "", "client certificate for --target over TCP, as arcactl certs makes it")
	f.StringVar(&o.tls.Key, "tls-key", "", "key of --tls-cert")
	f.StringVar(&o.tls.CA, "tls-ca", "", "authority of the certificate of --target")
	f.StringVar(&o.engine, "engine", "", "Docker Engine that has the containers, for example unix:///var/run/docker.sock (default: there are none)")
	f.StringVar(&o.plugin, "plugin-socket", "", "also serve the network and IPAM driver arca to --engine there, for example "+defaultPluginSocket)
	f.StringVar(&o.program, "arca-network", "arca-network", "program to start where there is no --target")
	f.StringVar(&o.socket, "control-socket", controlSocket, "socket of the control API of the program that is started")
	f.StringVar(&o.logFormat, "log-format", "auto", "auto, text or json")
	f.IntVarP(&o.verbosity, "verbosity", "v", 0, "0, or 1 for details")
	return c
}

// validate checks what flags alone can tell.
func (o *options) validate() error {
	if !strings.HasPrefix(o.listen, "unix://") {
		return fmt.Errorf("--listen: %q: must be unix:///PATH: who may connect there may do anything on this host", o.listen)
	}
	if o.target != "" && len(o.arguments) > 0 {
		return fmt.Errorf("%q: flags of arca-network run cannot be given with --target, for it is not started then", o.arguments)
	}
	if err := o.validatePlugin(); err != nil {
		return err
	}
	if o.verbosity < 0 || o.verbosity > 1 {
		return fmt.Errorf("--verbosity: %d: must be 0 or 1", o.verbosity)
	}
	if strings.HasPrefix(o.target, "tcp://") && (o.tls.Cert == "" || o.tls.Key == "" || o.tls.CA == "") {
		return errors.New("--target: tcp needs --tls-cert, --tls-key and --tls-ca")
	}
	return nil
}

func (o *options) run(ctx context.Context, log logr.Logger) error {
	listener, driver, err := o.openBoth(ctx, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	target := o.target
	if target == "" {
		target = "unix://" + o.socket
		child := &child{program: o.program, arguments: append([]string{"run", "--listen", target}, o.arguments...), log: log.WithName("arca-network")}
		g.Go(func() error { return child.supervise(ctx) })
	}
	server, stop, err := o.newServer(ctx, g, target, driver, log)
	if err != nil {
		return errors.Join(err, closeAll(listener, driver))
	}
	defer stop()
	log.Info("Serving the Docker API", "address", o.listen, "target", target, "engine", o.engine)
	g.Go(func() error { return server.Serve(ctx, listener) })
	// An engine that systemd starts next finds the driver.
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Error(err, "systemd cannot be told that the sockets are there")
	}
	return g.Wait()
}

// openBoth makes the socket of the API, and that of the driver if there is to be one.
func (o *options) openBoth(ctx context.Context, log logr.Logger) (api, driver net.Listener, err error) {
	if api, err = o.open(ctx); err != nil || o.plugin == "" {
		return api, nil, err
	}
	if driver, err = listenPlugin(ctx, log, o.plugin); err != nil {
		return nil, nil, errors.Join(err, api.Close())
	}
	return api, driver, nil
}

func closeAll(listeners ...net.Listener) (err error) {
	for _, l := range listeners {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// open makes the socket, for the group.
func (o *options) open(ctx context.Context) (net.Listener, error) {
	gid := -1
	if o.group != "" {
		var err error
		if gid, err = lookUpGroup(o.group); err != nil {
			return nil, err
		}
	}
	l, err := transport.Listen(ctx, o.listen, transport.Options{})
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if gid >= 0 {
		if err := os.Lchown(l.Addr().String(), -1, gid); err != nil {
			return nil, errors.Join(fmt.Errorf("--group: %w", err), l.Close())
		}
	}
	return l, nil
}

func lookUpGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return strconv.Atoi(g.Gid)
	}
	if id, numberErr := strconv.ParseUint(name, 10, 31); numberErr == nil {
		return int(id), nil
	}
	return 0, fmt.Errorf("--group: %q: %w", name, err)
}

// newServer returns the server, with the driver on its socket if there is one.
func (o *options) newServer(ctx context.Context, g *errgroup.Group, target string, socket net.Listener, log logr.Logger) (*docker.Server, func(), error) {
	var config *tls.Config
	if o.tls.Cert != "" {
		var err error
		if config, err = transport.ClientTLS(o.tls); err != nil {
			return nil, nil, err
		}
	}
	c, err := control.Dial(target, config)
	if err != nil {
		return nil, nil, fmt.Errorf("--target: %w", err)
	}
	options := docker.Options{Control: c, Version: version, Log: log.WithName("docker")}
	if o.engine == "" {
		return docker.NewServer(options), func() { _ = c.Close() }, nil
	}
	proxied := engine.Options{Address: o.engine, Networks: networks{c}, Predefined: predefined, Log: log.WithName("engine")}
	var p *plugin.Plugin
	if socket != nil {
		if p, err = newPlugin(log.WithName("plugin"), c, o.engine); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("--engine: %w", err), c.Close())
		}
		proxied.Driver = driver{p}
	}
	proxy, err := engine.New(proxied)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--engine: %w", err), c.Close())
	}
	containers, err := docker.DialDocker(o.engine)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--engine: %w", err), c.Close())
	}
	options.Engine, options.InFront = containers, proxy.InFrontOf
	g.Go(func() error { return proxy.Run(ctx) })
	if p != nil {
		g.Go(func() error { return servePlugin(ctx, log.WithName("plugin"), p, socket, o.engine) })
	}
	return docker.NewServer(options), func() { proxy.Close(); _, _ = c.Close(), containers.Close() }, nil
}
