// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"sync"

	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// spent remembers the UUIDs of rows that were deleted and whose deletion
// ovn-northd has not taken in yet. A row that is deleted and made again under
// its UUID within one of its rounds is lost to it: it goes by the deletion alone,
// and has no flow for what the northbound database holds, until it computes
// everything anew.
type spent struct {
	mu    sync.Mutex
	until map[string]int // by UUID: the sb_cfg that says that it was taken in
}

// byUUID are the tables of which that is so: ovn-northd follows their changes one by
// one, and looks for each row by its UUID. Of all others it reads what there is when
// one came or went; and they must stay the same, or it would find ports in the
// southbound database of which one belongs to the switch that it knows and the other to
// a router that it does not, and end itself (OVN 25.03, ovn_port_update_sbrec).
var byUUID = map[string]bool{nbdb.LoadBalancerTable: true, nbdb.LoadBalancerGroupTable: true}

// maxSpent bounds what is remembered while ovn-northd does not answer.
const maxSpent = 1 << 16

// spend tells that a row was deleted. What the database says about marks is read after
// that, so that the next mark comes after the deletion.
func (s *session) spend(table, uuid string) {
	if !byUUID[table] {
		return
	}
	now, _ := s.global()
	s.spent.mu.Lock()
	defer s.spent.mu.Unlock()
	if s.spent.until == nil || len(s.spent.until) >= maxSpent {
		s.spent.until = map[string]int{}
	}
	s.spent.until[uuid] = now.nb + 1
}

// settle forgets what ovn-northd has taken in.
func (s *spent) settle(now global) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid, cfg := range s.until {
		if now.sb >= cfg {
			delete(s.until, uuid)
		}
	}
}

// has tells whether a row cannot be made under a UUID yet.
func (s *spent) has(uuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.until[uuid]
	return found
}
