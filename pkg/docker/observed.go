// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"github.com/moby/moby/api/types/events"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// observed is what has been told of the objects, to tell what is new in the next
// event of the control API. There is one entry for each object.
type observed struct {
	networks  map[string]*seenNetwork  // by the object's name
	endpoints map[string]*seenEndpoint // by the object's name
	// live: what comes is news. It is not, until all that there was has been told.
	live bool
	// all is set while all objects are told anew after some events were missed.
	all bool
}

type seenNetwork struct {
	uid, id, name, driver string
	announced, again      bool
	// configOnly: the engine tells that it was made, and not that it goes.
	configOnly bool
}

type seenEndpoint struct {
	uid, id, network, container string
	announced, again            bool
}

func newObserved() *observed {
	return &observed{networks: map[string]*seenNetwork{}, endpoints: map[string]*seenEndpoint{}}
}

// begin is called before all objects are told anew.
func (o *observed) begin() {
	o.all = true
	for _, n := range o.networks {
		n.again = false
	}
	for _, e := range o.endpoints {
		e.again = false
	}
}

// observe takes in an event, and returns what Docker's clients are to be told.
func (o *observed) observe(e *controlpb.WatchEvent) (out []events.Message) {
	gone := e.GetType() == controlpb.WatchEvent_DELETED
	switch {
	case e.GetType() == controlpb.WatchEvent_SYNCED:
		out = o.synced()
	case e.GetNetwork() != nil:
		out = o.network(e.GetNetwork(), gone)
	case e.GetAttachment() != nil:
		out = o.endpoint(e.GetAttachment(), gone)
	}
	if !o.live && e.GetType() != controlpb.WatchEvent_SYNCED {
		return nil
	}
	return out
}

// synced ends what begin began: what was not told again has gone.
func (o *observed) synced() (out []events.Message) {
	if o.all {
		for name, e := range o.endpoints {
			if !e.again {
				out = append(out, o.forgetEndpoint(name)...)
			}
		}
		for name, n := range o.networks {
			if !n.again {
				out = append(out, o.forgetNetwork(name)...)
			}
		}
	}
	if !o.live {
		out = nil
	}
	o.live, o.all = true, false
	return out
}

// network notes a network. It is made when it works, not when somebody asks for
// it: what is refused is never heard of.
func (o *observed) network(b *controlpb.BridgeInfo, gone bool) (out []events.Message) {
	name := b.GetNetworkId()
	n := o.networks[name]
	if n != nil && n.uid != b.GetUid() {
		out, n = o.forgetNetwork(name), nil
	}
	if gone {
		return append(out, o.forgetNetwork(name)...)
	}
	f := FactsOf(b)
	if n == nil {
		n = &seenNetwork{uid: b.GetUid()}
		o.networks[name] = n
	}
	n.id, n.name, n.driver, n.configOnly, n.again = NetworkID(b), f.Name, f.Driver, f.ConfigOnly, true
	if !n.announced && isTrue(b.GetConditions(), "Programmed") {
		n.announced = true
		out = append(out, n.event(events.ActionCreate))
	}
	return out
}

func (o *observed) endpoint(a *controlpb.ContainerNetwork, gone bool) (out []events.Message) {
	name := a.GetName()
	e := o.endpoints[name]
	if e != nil && e.uid != a.GetUid() {
		out, e = o.forgetEndpoint(name), nil
	}
	if gone || a.GetDeleting() { // a network with it has it no more, though its rows are still there
		return append(out, o.forgetEndpoint(name)...)
	}
	if e == nil {
		e = &seenEndpoint{uid: a.GetUid(), network: a.GetNetworkId()}
		o.endpoints[name] = e
	}
	e.again = true
	if !e.announced {
		e.container, e.id = containerID(a), EndpointID(a) // both may be written later than the object
	}
	if n := o.networks[e.network]; !e.announced && n != nil && !isReservation(a) && isTrue(a.GetConditions(), "Ready") {
		e.announced = true
		out = append(out, n.endpointEvent(events.ActionConnect, e))
	}
	return out
}

func (o *observed) forgetNetwork(name string) (out []events.Message) {
	n := o.networks[name]
	delete(o.networks, name)
	if n != nil && n.announced && !n.configOnly {
		out = append(out, n.event(events.ActionDestroy))
	}
	return out
}

func (o *observed) forgetEndpoint(name string) (out []events.Message) {
	e := o.endpoints[name]
	delete(o.endpoints, name)
	if e != nil && e.announced {
		n := o.networks[e.network]
		if n == nil {
			n = &seenNetwork{id: e.network, name: e.network} // its own deletion was told first
		}
		out = append(out, n.endpointEvent(events.ActionDisconnect, e))
	}
	return out
}

func (o *observed) hasNetwork(id string) bool {
	for _, n := range o.networks {
		if n.id == id {
			return n.announced
		}
	}
	return false
}

func (o *observed) hasEndpoint(id string) bool {
	for _, e := range o.endpoints {
		if e.id == id {
			return e.announced
		}
	}
	return false
}

func (n *seenNetwork) event(action events.Action) events.Message {
	return events.Message{Type: events.NetworkEventType, Action: action,
		Actor: events.Actor{ID: n.id, Attributes: map[string]string{"name": n.name, "type": n.driver}}}
}

func (n *seenNetwork) endpointEvent(action events.Action, e *seenEndpoint) events.Message {
	m := n.event(action)
	m.Actor.Attributes["container"] = e.container
	return m
}

func isTrue(conditions []*controlpb.Condition, of string) bool {
	for _, c := range conditions {
		if c.GetType() == of {
			return c.GetStatus()
		}
	}
	return false
}
