// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// TestLog: what rules with log: true decide is told with the rule's name,
// across networks too.
func TestLog(t *testing.T) {
	w := newWorld(t)
	w.network(t, "web", false, "10.1.0.0/24")
	w.network(t, "db", false, "10.2.0.0/24")
	web, db := w.endpoint(t, "web-1", "web", nil), w.endpoint(t, "db-1", "db", nil)
	seen := &sctpSeen{init: map[uint32]bool{}, aborts: map[uint16]bool{}}
	listen(t, w.spaces["db-1"], seen)
	p := w.policy(t, "watch", `{network: db, ingress: [{action: Allow, peers: [{network: web}], protocol: tcp, ports: [{port: 80}], log: true}, {action: Deny, log: true}]}`)
	w.ready(t, p)
	w.settled(t)
	lines := make(chan ovnd.ACLLine, 64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.stack.FollowACLs(ctx, func(l ovnd.ACLLine) { lines <- l }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		port          int
		name, verdict string
	}{{80, "watch/ingress[0]", "allow"}, {443, "watch/ingress[1]", "drop"}} {
		for limit := time.Now().Add(patience); ; { // until the follower has begun, nothing is told
			if err := run(w.spaces, seen, []*probe{{from: web, to: db, protocol: "tcp", port: c.port}}, 300*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			select {
			case l := <-lines:
				if l.Name == c.name {
					if l.Verdict != c.verdict || l.Direction != "to-lport" || !strings.Contains(l.Packet, "nw_src=10.1.0.2") {
						t.Errorf("got %+v", l)
					}
					break
				}
				continue
			case <-time.After(50 * time.Millisecond):
				if time.Now().After(limit) {
					t.Fatalf("no line of %s", c.name)
				}
				continue
			}
			break
		}
	}
}
