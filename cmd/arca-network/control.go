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
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/hostport"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// newControl makes the server of the control API.
func (o *options) newControl(ctx context.Context, log logr.Logger, config *rest.Config, mgr ctrl.Manager, health control.Health) (*control.Server, error) {
	api, err := client.NewWithWatch(config, client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return nil, err
	}
	return control.New(ctx, control.Options{
		API:     api,
		Cache:   mgr.GetCache(),
		Health:  health,
		Refuses: controllers.Refuses(mgr.GetCache(), vnet.HostRoutes, hostport.Host{Except: topology.UplinkAddresses()}),
		Log:     log.WithName("control"),
	})
}

// listenControl opens the addresses of the control API, all or none.
func (o *options) listenControl(ctx context.Context, log logr.Logger) ([]net.Listener, error) {
	config, err := o.controlTLS(log.WithName("control"))
	if err != nil {
		return nil, err
	}
	return listenAll(ctx, "--listen", o.listen, transport.Options{TLS: config, AllowCIDs: o.allowedCIDs(), Log: log.WithName("control")})
}

// controlTLS reads the certificates, which TCP must have and others may.
func (o *options) controlTLS(log logr.Logger) (*tls.Config, error) {
	needed := o.tls != (transport.Files{})
	for _, l := range o.listen {
		needed = needed || strings.HasPrefix(l, "tcp://")
	}
	if !needed {
		return nil, nil
	}
	config, err := transport.ServerTLS(o.tls, log)
	var file *transport.FileError
	if errors.As(err, &file) {
		flag := map[string]string{"Cert": "--tls-cert", "Key": "--tls-key", "CA": "--tls-client-ca"}[file.Field]
		return nil, fmt.Errorf("%s: %q: %s", flag, file.Name, file.Reason())
	}
	return config, err
}

func (o *options) allowedCIDs() []uint32 {
	out := make([]uint32, len(o.vsockAllowCID))
	for i, cid := range o.vsockAllowCID {
		out[i] = uint32(cid)
	}
	return out
}

// listenAPI opens the further addresses of the embedded API. Its own TLS is on
// all of them.
func (o *options) listenAPI(ctx context.Context, log logr.Logger) (loopback string, _ []net.Listener, hosts []string, err error) {
	var further []string
	for _, a := range o.apiListen {
		_, tcp, other := strings.Cut(a, "://")
		switch {
		case other:
			further = append(further, a)
			if host, _, err := net.SplitHostPort(tcp); err == nil && strings.HasPrefix(a, "tcp://") {
				hosts = append(hosts, host)
			}
		case loopback != "":
			return "", nil, nil, fmt.Errorf("--api-listen: %s and %s are both on the loopback; give one", loopback, a)
		default:
			loopback = a
		}
	}
	listeners, err := listenAll(ctx, "--api-listen", further, transport.Options{Inner: true, AllowCIDs: o.allowedCIDs(), Log: log.WithName("store")})
	if slices.ContainsFunc(listeners, onAllAddresses) {
		hosts = append(hosts, machineHosts()...)
	}
	return loopback, listeners, hosts, err
}

func onAllAddresses(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsUnspecified()
}

// machineHosts are the names and addresses by which others know this machine: its host
// name, and its addresses that are good beyond one link. Those that it gets later are
// not among them. What cannot be read is left out.
func machineHosts() (out []string) {
	if name, err := os.Hostname(); err == nil {
		out = append(out, name)
	}
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}

func listenAll(ctx context.Context, flag string, addresses []string, o transport.Options) (listeners []net.Listener, err error) {
	for _, a := range addresses {
		l, err := transport.Listen(ctx, a, o)
		if err != nil {
			err = fmt.Errorf("%s: %w", flag, err)
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}
