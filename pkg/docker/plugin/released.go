// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// releasedHolds is how long an engine may take from deleting an endpoint to giving
// back its addresses; it does so at once.
const releasedHolds = 5 * time.Second

// released are addresses that went with their endpoints a moment ago: when the
// engine gives them back there is nothing to look for.
type released struct {
	now  func() time.Time
	mu   sync.Mutex
	when map[releasedAddress]time.Time
}

type releasedAddress struct {
	network string
	address netip.Addr
}

func (r *released) put(network string, addresses []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.when, func(_ releasedAddress, at time.Time) bool { return r.now().Sub(at) > releasedHolds })
	for _, a := range addresses {
		r.when[releasedAddress{network, a}] = r.now()
	}
}

// take tells whether an address went with its endpoint, once.
func (r *released) take(network string, address netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.when[releasedAddress{network, address}]
	delete(r.when, releasedAddress{network, address})
	return ok && r.now().Sub(at) <= releasedHolds
}
