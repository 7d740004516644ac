// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
)

// Port is where names are asked for.
const Port = 53

// Options is what a Server works with.
type Options struct {
	Records *Records
	// Interface is bound to: what comes in by another never reaches the server.
	Interface string
	// Addresses of the interface to listen at. One that the interface does not
	// have yet is left out until Rebind.
	Addresses []netip.Addr
	// ResolvConf names the host's servers. Default: /etc/resolv.conf.
	ResolvConf string
	// QueriesPerSecond and ForwardsPerSecond are what one address may ask, and
	// may have asked of others; what is more is dropped. 0: no limit.
	QueriesPerSecond, ForwardsPerSecond int
	// Registerer of metrics; nil: none.
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// maxAsking bounds how many queries wait for other servers.
const maxAsking = 1024

// Server is the name server.
type Server struct {
	*Records
	options Options
	handler *handler
	rebind  chan struct{}
	changed func() // called when what Check reports is something else; may be nil

	mu    sync.Mutex
	bound place
	err   error
}

// New returns a server that does nothing until Run.
func New(o Options) (*Server, error) {
	if o.Records == nil || len(o.Addresses) == 0 {
		return nil, errors.New("dns: Records and Addresses must be set")
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	f, err := newForwarder()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("dns: metrics: %w", err)
	}
	h := &handler{
		records: o.Records, forward: f, metrics: m, own: o.Addresses,
		all: perSecond(o.QueriesPerSecond), forwarded: perSecond(o.ForwardsPerSecond),
		start: time.Now(), asking: make(chan struct{}, maxAsking),
	}
	h.host.Store(&upstreams{})
	return &Server{Records: o.Records, options: o, handler: h, rebind: make(chan struct{}, 1), err: errors.New("not started")}, nil
}

// Subscribe has fn called whenever Check has something else to report. It must
// not wait. Subscribe before Run.
func (s *Server) Subscribe(fn func()) { s.changed = fn }

// Rebind asks the server to look at its interface again. It does not wait.
func (s *Server) Rebind() {
	select {
	case s.rebind <- struct{}{}:
	default:
	}
}

// Check reports why nobody is served; nil where the server listens, and the
// interface is still the one that it listens at. Where not, the server looks
// again: what nobody has told it of is put right.
func (s *Server) Check(context.Context) error {
	s.mu.Lock()
	bound, err := s.bound, s.err
	s.mu.Unlock()
	if err == nil {
		var now place
		if now, err = s.look(); err == nil && !now.equal(bound) {
			err = fmt.Errorf("interface %s has changed; names are about to be served there", s.options.Interface)
		}
	}
	if err != nil {
		s.Rebind()
	}
	return err
}

// retryBind is how long to wait after a failure that no event ends, such as an
// address that another program listens at.
const retryBind = 2 * time.Second

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	stop, err := s.followResolvConf(ctx)
	if err != nil {
		// Nothing else shall end for it: names of our own are served all the same.
		s.options.Log.Error(err, "A change of the host's name servers will not be seen")
		s.readResolvConf()
		stop = func() {}
	}
	defer stop()
	var sockets *sockets
	defer func() { sockets.close() }()
	var place place
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.rebind:
		case <-retry.C:
		}
		now, err := s.look()
		if err == nil && now.equal(place) && sockets != nil {
			continue
		}
		if err == nil {
			sockets.close()
			sockets, err = s.listen(ctx, now)
		}
		if err != nil {
			sockets.close()
			sockets = nil
			var missing *missingError
			if !errors.As(err, &missing) {
				retry.Reset(retryBind) // else an event follows
			}
		} else {
			place = now
			s.options.Log.Info("Names are served", "interface", s.options.Interface, "addresses", now.addresses)
		}
		s.report(now, err)
	}
}

func (s *Server) report(bound place, err error) {
	s.mu.Lock()
	before := s.err
	s.bound, s.err = bound, err
	s.mu.Unlock()
	if fmt.Sprint(before) == fmt.Sprint(err) {
		return
	}
	if err != nil {
		s.options.Log.Info("Names are not served", "why", err.Error())
	}
	if s.changed != nil {
		s.changed()
	}
}

// place is where the server listens.
type place struct {
	index     int
	addresses []netip.Addr
}

func (p place) equal(o place) bool {
	return p.index == o.index && slices.Equal(p.addresses, o.addresses)
}

// missingError says that the interface, or its address, is not there yet.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what + " is not there" }

// look finds the interface, and which of our addresses it has.
func (s *Server) look() (place, error) {
	// Not by package net, which lists all interfaces: there is one for each container.
	link, err := netlink.LinkByName(s.options.Interface)
	if err != nil {
		return place{}, &missingError{"interface " + s.options.Interface}
	}
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return place{}, fmt.Errorf("listing the addresses of interface %s: %w", s.options.Interface, err)
	}
	p := place{index: link.Attrs().Index}
	for _, want := range s.options.Addresses {
		for _, a := range have {
			if addr, ok := netip.AddrFromSlice(a.IP); ok && addr.Unmap() == want {
				p.addresses = append(p.addresses, want)
			}
		}
	}
	if len(p.addresses) == 0 {
		return place{}, &missingError{fmt.Sprintf("an address of interface %s", s.options.Interface)}
	}
	return p, nil
}
