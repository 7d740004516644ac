// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// Endpoint is an endpoint that the engine is about to ask its driver for.
type Endpoint struct {
	// Network is its network's id in the control API.
	Network   string
	MTU       int
	MAC       net.HardwareAddr
	Addresses []netip.Addr // those that were asked for
	LinkLocal []netip.Addr
	// Name and Aliases are those of the container.
	Name    string
	Aliases []string
}

// Driver is the driver of shadows. The engine asks it for endpoints late, when the
// container's processes wait for nothing else; what is told before is ready by then.
type Driver interface {
	// Expect begins with an endpoint. Where it fails, the engine's own question
	// finds out.
	Expect(ctx context.Context, p Endpoint) error
	// Forget takes back an expected endpoint that the engine did not make.
	Forget(ctx context.Context, p Endpoint) error
}

// expect tells the driver of endpoints, and does not wait. What it returns is to
// be told whether the engine has made them; where not, it returns when they are
// taken back: a network with one cannot be removed.
func (e *Engine) expect(ctx context.Context, endpoints []Endpoint) (made func(bool)) {
	if !e.choosesMAC() || len(endpoints) == 0 {
		return func(bool) {}
	}
	// A client that goes away does not stop the engine.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	var began sync.WaitGroup
	for _, p := range endpoints {
		began.Go(func() {
			if err := e.expects.Expect(ctx, p); err != nil {
				e.log.V(1).Info("An endpoint could not be made in advance", "network", p.Network, "container", p.Name, "reason", err.Error())
			}
		})
	}
	return func(made bool) {
		if made {
			go func() { began.Wait(); cancel() }()
			return
		}
		defer cancel()
		began.Wait()
		for _, p := range endpoints {
			if err := e.expects.Forget(ctx, p); err != nil {
				e.log.V(1).Info("An endpoint that the engine did not make is left to the driver", "network", p.Network, "container", p.Name, "reason", err.Error())
			}
		}
	}
}

// macSince is the version of the API in which a MAC address can be asked for
// whenever a container is connected.
const macSince = 54

// choosesMAC tells whether MAC addresses are chosen here: what is asked of the
// driver in advance has to be known by something that the engine will ask by.
func (e *Engine) choosesMAC() bool {
	version := e.apiVersion.Load()
	return e.expects != nil && version != nil && minorOf(*version) >= macSince
}

// minorOf is the second number of a version of the API, as 54 of 1.54.
func minorOf(version string) int {
	_, minor, _ := strings.Cut(strings.TrimPrefix(version, "/v"), ".")
	n, _ := strconv.Atoi(minor)
	return n
}

// expected is the endpoint that settings lead to, where its MAC address is known.
func expected(n Network, settings object) (p Endpoint, ok bool) {
	var err error
	if p.MAC, err = net.ParseMAC(settings.text("MacAddress")); err != nil {
		return p, false
	}
	p.Network, p.MTU = n.Object, n.MTU
	var asked struct {
		IPv4Address, IPv6Address string
		LinkLocalIPs             []netip.Addr
	}
	_ = json.Unmarshal(settings.get("IPAMConfig"), &asked) // what cannot be read is the engine's to refuse
	for _, s := range []string{asked.IPv4Address, asked.IPv6Address} {
		if a, err := netip.ParseAddr(s); err == nil {
			p.Addresses = append(p.Addresses, a)
		}
	}
	p.LinkLocal = asked.LinkLocalIPs
	options := settings.options()
	p.Name = options.text(optionHostname)
	if aliases := options.text(optionAliases); aliases != "" {
		p.Aliases = strings.Split(aliases, ",")
	}
	return p, true
}
