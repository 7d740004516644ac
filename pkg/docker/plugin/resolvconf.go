// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// engineResolver is where an engine's own name server listens in each container
// that is on a network of a person's.
var engineResolver = netip.MustParseAddr("127.0.0.11")

// maxResolvConf bounds the file: a container may write into it.
const maxResolvConf = 64 << 10

// askGateway makes the gateway of a container's way out its name server. The
// engine has written the file by now, and leaves alone what others have changed.
// Where it cannot be, the engine's own name server stays, which asks a gateway for
// what it does not know.
func (p *Plugin) askGateway(ctx context.Context, a attachment) {
	if gateway, ok := resolverOf(a); ok {
		p.point(ctx, a, gateway, engineResolver, gateway)
	}
}

// askEngine undoes it, when the container loses this way out. Where it has another
// one, askGateway follows for that.
func (p *Plugin) askEngine(ctx context.Context, a attachment) {
	if gateway, ok := resolverOf(a); ok {
		p.point(ctx, a, engineResolver, gateway)
	}
}

// resolverOf is the name server of an endpoint's network, if its container wants it.
func resolverOf(a attachment) (out netip.Addr, ok bool) {
	if a.notes[noteResolver] != ResolverGateway {
		return out, false
	}
	for _, s := range a.GetGateways() {
		if g, err := netip.ParseAddr(s); err == nil && (!ok || g.Is4()) {
			out, ok = g, true
		}
	}
	return out, ok
}

// point changes the name server of an endpoint's container, where it is one of
// some. That it cannot is no reason to refuse the container, which has one.
func (p *Plugin) point(ctx context.Context, a attachment, to netip.Addr, from ...netip.Addr) {
	container := a.notes[noteContainer]
	starts := p.sweeper.knownEngine() == ""
	path, err := p.resolvConf(ctx, container, starts)
	p.unasked.mu.Lock()
	defer p.unasked.mu.Unlock()
	delete(p.unasked.of, container)
	n := &nameServer{to, from}
	if err != nil && starts {
		p.unasked.of[container] = n
		p.sweeper.suspect()
		return
	}
	p.pointAt(container, path, err, n)
}

// nameServer is what a container is to have in place of one of some others.
type nameServer struct {
	to   netip.Addr
	from []netip.Addr
}

// unasked are changes for which the engine has to be asked once it answers. The lock
// is held while a file is changed, and never while the engine is asked.
type unasked struct {
	mu sync.Mutex
	of map[string]*nameServer // by container
}

// all are those that are known now.
func (u *unasked) all() map[string]*nameServer {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.of)
}

// resolvConf is the path of a container's file. An engine that starts containers
// before it answers waits for us: of such a one it is told only if it is known.
func (p *Plugin) resolvConf(ctx context.Context, container string, starts bool) (string, error) {
	timeout := engineTimeout
	if starts {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.engine.ResolvConf(ctx, container)
}

// pointUnasked does what could not be done while the engine did not answer.
func (p *Plugin) pointUnasked(ctx context.Context) {
	for container, n := range p.unasked.all() {
		path, err := p.resolvConf(ctx, container, false)
		p.pointIfUnasked(container, path, err, n)
	}
}

// pointIfUnasked does one of those changes, unless another one was asked for since.
func (p *Plugin) pointIfUnasked(container, path string, err error, n *nameServer) {
	p.unasked.mu.Lock()
	defer p.unasked.mu.Unlock()
	if p.unasked.of[container] == n {
		delete(p.unasked.of, container)
		p.pointAt(container, path, err, n)
	}
}

// pointAt changes the file of a container, whose path is known or not.
func (p *Plugin) pointAt(container, path string, err error, n *nameServer) {
	if err == nil {
		err = rewriteFile(path, func(was string) string { return withNameServer(was, n.from, n.to) })
	}
	if err != nil {
		p.log.Error(err, "The name server of a container stays as it is", "container", container, "wanted", n.to.String())
	}
}

// withNameServer is a resolv.conf with another name server, if it has one alone
// and that is one of some. The engine's option goes with it: without it names of
// one label are first asked for in the search domains.
func withNameServer(was string, from []netip.Addr, to netip.Addr) string {
	lines := strings.Split(was, "\n")
	at, dots := -1, false
	for i, line := range lines {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "nameserver":
			server, err := netip.ParseAddr(f[1])
			if err != nil || at >= 0 || !slices.Contains(from, server) {
				return was
			}
			at = i
		case f[0] == "options":
			dots = dots || slices.ContainsFunc(f[1:], func(o string) bool { return strings.HasPrefix(o, "ndots:") })
		}
	}
	if at < 0 {
		return was
	}
	lines[at] = "nameserver " + to.String()
	if !dots {
		lines = slices.Insert(lines, at+1, "options ndots:0")
	}
	return strings.Join(lines, "\n")
}

// rewriteFile changes what is in a file. It stays the same file, for it is mounted
// into a container. One that is not there is of a container that has gone.
func rewriteFile(path string, change func(string) string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxResolvConf+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	now := change(string(raw))
	if len(raw) > maxResolvConf || now == string(raw) {
		return nil
	}
	// Written over, not emptied first: somebody may read it.
	if _, err = f.WriteAt([]byte(now), 0); err == nil {
		err = f.Truncate(int64(len(now)))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
