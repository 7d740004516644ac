// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"time"

	"github.com/vas-solutus/arca-network/internal/openflow"
)

// advertisements drops what comes in by a port and says that there is a router
// (RFC 4861, 4.2; what RFC 6105 calls RA guard). Routers of these networks are
// OVN's alone, whose advertisements ovn-controller makes behind this table. OVN has
// no row that says this: northd lets nd_ra pass above every ACL.
//
// It is ovn-controller's bridge. Its flows all have lower priorities and other
// cookies, and it removes those of others only when it connects.
var advertisements = openflow.Flow{
	Cookie:   0x61726361_2d726167, // "arca-rag"
	Table:    0,
	Priority: 65535,
	Match:    openflow.ICMPv6(134),
}

// Limits of the guard: the pause between two attempts to reach the bridge, and for
// how long there may be none before that is worth a word. Without a bridge there
// are no other flows either.
const (
	guardPause   = 100 * time.Millisecond
	guardSilence = 10 * time.Second
)

// guard keeps endpoints' router advertisements from passing until ctx is done, and
// leaves it so.
func (s *Stack) guard(ctx context.Context) {
	since, told := time.Now(), false
	held := func() {
		if told {
			s.options.Log.Info("Router advertisements of endpoints are dropped again")
		}
		since, told = time.Time{}, false
	}
	for {
		err := openflow.Keep(ctx, s.options.path(Bridge+".mgmt"), advertisements, held, s.flows.suspect)
		if err == nil {
			return
		}
		if since.IsZero() {
			since = time.Now()
		}
		if !told && time.Since(since) > guardSilence {
			told = true
			s.options.Log.Error(err, "Router advertisements of endpoints may pass", "bridge", Bridge)
		}
		if !pause(ctx, guardPause) {
			return
		}
	}
}
