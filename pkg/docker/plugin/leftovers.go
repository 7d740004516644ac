// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"time"
)

// grace is how long something may be unknown to the engine: between two steps of
// one of its calls there are milliseconds, or the 30 seconds for which it repeats
// a call.
const grace = 2 * time.Minute

// facts are what a sweep judges by. Links are read first, then what is being made,
// then attachments, then the engine: what is made meanwhile is in the later ones.
type facts struct {
	now time.Time
	// greeted is when an engine was last started, as far as that was seen: what was
	// half made before, nobody goes on with.
	greeted     time.Time
	links       []Link
	making      map[string]bool // by outer name
	attachments []attachment
	networks    []network
	// engine is the engine's id, empty where it did not answer; endpoints are those
	// on its networks.
	engine    string
	endpoints map[string]map[string]bool
}

// leftovers are what belongs to nobody any more.
type leftovers struct {
	attachments []attachment
	networks    []network
	links       []Link
}

func (l leftovers) none() bool { return len(l.attachments)+len(l.networks)+len(l.links) == 0 }

// judge finds what an engine has left behind. In doubt everything stays.
func judge(f facts) (out leftovers) {
	settled := func(n notes) bool {
		since := n.since()
		return since.Before(f.greeted) || f.now.Sub(since) > grace
	}
	used := map[string]bool{}
	for _, a := range f.attachments {
		if settled(a.notes) && f.abandoned(a) {
			out.attachments = append(out.attachments, a)
		}
		used[a.GetInterface().GetName()] = true
	}
	for _, n := range f.networks {
		if n.notes[noteMaker] == maker && settled(n.notes) && f.forgotten(n) {
			out.networks = append(out.networks, n)
		}
	}
	for _, l := range f.links {
		if !used[l.Outer] && !f.making[l.Outer] {
			out.links = append(out.links, l)
		}
	}
	return out
}

// abandoned tells whether no endpoint of the engine's is behind an attachment.
func (f facts) abandoned(a attachment) bool {
	endpoint := a.notes[noteEndpoint]
	if endpoint == "" {
		return true // an address that was reserved and not used
	}
	if f.engine == "" {
		return false
	}
	if on, listed := f.endpoints[a.notes[noteNetwork]]; listed {
		return !on[endpoint]
	}
	// The network is not one of this engine's, or it was and is forgotten.
	n, ok := byID(f.networks, a.notes[noteNetwork])
	return ok && f.forgotten(n)
}

// forgotten tells whether a network was made for this engine, which does not know
// it. That of another engine is that engine's affair.
func (f facts) forgotten(n network) bool {
	_, listed := f.endpoints[n.id]
	return f.engine != "" && n.notes[noteEngine] == f.engine && !listed
}

// copied is a set that does not change any more.
func copied(set map[string]bool) map[string]bool { return maps.Clone(set) }
