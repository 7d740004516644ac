// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Flows is the kernel's memory of connections.
type Flows interface {
	// Forget cuts the connections of addresses that change hands.
	Forget(ctx context.Context, addresses ...netip.Addr) error
}

// HostSockets tells what of the host's own ports and addresses is used.
type HostSockets interface {
	// Listener finds a process that listens on a port of a range.
	Listener(protocol uint8, at netip.Addr, first, last uint16) (who string, port uint16, err error)
	// HasAddress tells whether an address is the host's.
	HasAddress(netip.Addr) (bool, error)
}

// publishRetry is how long an attachment waits for a process to let go of its
// port before it looks again. What tells of a closed listener (sock_diag's
// groups) tells of every closed connection of the host: a look costs less.
const publishRetry = 2 * time.Second

// Publishable tells why the host cannot publish ports, or nil, and whether
// nothing will tell that it can.
func (r *PortReconciler) Publishable(ports []publication) (why *Refusal, poll bool, err error) {
	if r.Sockets == nil {
		return nil, false, nil
	}
	for _, p := range ports {
		if !p.listen.IsUnspecified() {
			has, err := r.Sockets.HasAddress(p.listen)
			if err != nil {
				return nil, false, err
			}
			if !has {
				return &Refusal{v1alpha1.ReasonHostIPNotFound, fmt.Sprintf(
					"%s.hostIP: %s is not an address of this host; name one that is, or none", p.field, p.listen)}, false, nil
			}
		}
		who, port, err := r.Sockets.Listener(uint8(p.protocol), p.listen, p.first, p.last)
		if err != nil {
			return nil, false, err
		}
		if who != "" {
			return &Refusal{v1alpha1.ReasonPortInUse, fmt.Sprintf(
				"%s.hostPort: %s listens on %d/%s of the host; end it, or choose another port", p.field, who, port, p.protocol)}, true, nil
		}
	}
	return nil, false, nil
}

// nameSet is a set of names that several goroutines use.
type nameSet struct {
	mu    sync.Mutex
	names map[string]bool
}

func (s *nameSet) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]bool{}
	}
	s.names[name] = true
}

func (s *nameSet) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}

// take empties the set.
func (s *nameSet) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for n := range s.names {
		out = append(out, n)
	}
	s.names = nil
	return out
}
