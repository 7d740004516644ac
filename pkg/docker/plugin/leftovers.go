// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import "time"

// How long something may be unknown to the engine. Between two of its steps there
// are milliseconds. To take away a reservation too early does no harm, for
// CreateEndpoint makes what it does not find; to take away an endpoint would. All
// that time, an address that somebody names for a container is still in use.
const (
	graceReservation = 5 * time.Second
	graceEndpoint    = 10 * time.Second
)

// facts are what a sweep judges by. Links are read first, then what is being made,
// then attachments, then who works on them, then the engine: what is made meanwhile
// is in the later ones.
type facts struct {
	now time.Time
	// worked is when calls worked on attachments last, and on networks, whose places
	// have no container: an engine stores either when it is answered, and that can take.
	worked map[place]time.Time
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
	// again is when to look again at what is too young to be judged; 0 for never.
	again time.Duration
}

func (l leftovers) none() bool { return len(l.attachments)+len(l.networks)+len(l.links) == 0 }

// judge finds what an engine has left behind. In doubt everything stays.
func judge(f facts) (out leftovers) {
	settled := func(since time.Time, grace time.Duration) bool {
		age := f.now.Sub(since)
		if since.Before(f.greeted) || age > grace {
			return true
		}
		if left := grace - age + time.Second; out.again == 0 || left < out.again {
			out.again = left
		}
		return false
	}
	used := map[string]bool{}
	for _, a := range f.attachments {
		grace := graceEndpoint
		if a.notes[noteEndpoint] == "" {
			grace = graceReservation
		}
		if f.abandoned(a) && settled(f.since(a.notes, a.place()), grace) {
			out.attachments = append(out.attachments, a)
		}
		used[a.GetInterface().GetName()] = true
	}
	for _, n := range f.networks {
		if n.notes[noteMaker] == maker && f.forgotten(n) && settled(f.since(n.notes, place{network: n.id}), graceEndpoint) {
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

// since is when something was done last about what has notes at a place.
func (f facts) since(n notes, at place) time.Time {
	since := n.since()
	if worked := f.worked[at]; worked.After(since) {
		return worked
	}
	return since
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
	if a.notes[noteEngine] == f.engine {
		return true // it was this engine's, which has not even the network any more
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
