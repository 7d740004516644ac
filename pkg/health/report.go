// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// State is how a component, or all of it, is doing.
type State string

// States, the best first.
const (
	// Disabled: the component is not in use, and nothing is missing for it.
	Disabled State = "Disabled"
	OK       State = "OK"
	// Unknown: it was not measured yet.
	Unknown State = "Unknown"
	// Degraded: it works less well than it should, or soon will not.
	Degraded State = "Degraded"
	// Unhealthy: it does not work.
	Unhealthy State = "Unhealthy"
)

var order = []State{Disabled, OK, Unknown, Degraded, Unhealthy}

// Worse tells whether s is worse than other.
func (s State) Worse(other State) bool { return slices.Index(order, s) > slices.Index(order, other) }

// Names of the components that arca-network has.
const (
	Store          = "store"
	Northbound     = "northbound"
	SouthboundPath = "southbound-path"
	OpenVSwitch    = "open-vswitch"
	Datapath       = "datapath"
	Daemons        = "daemons"
	DNS            = "dns"
	NAT            = "nat"
	Egress         = "egress"
	Disk           = "disk"
)

// Component is what was last measured of one component.
type Component struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Since is when it came into this state.
	Since metav1.Time `json:"since"`
	// Measured is when it was last looked at; zero while Unknown.
	Measured metav1.Time `json:"measured"`
	// RoundTrip is how long it took to answer when it last did.
	RoundTrip metav1.Duration `json:"roundTrip"`
	// Message says what was found, for people.
	Message string `json:"message,omitempty"`
	// LastError is what was last wrong, and LastErrorTime when. They stay when
	// the component is well again.
	LastError     string      `json:"lastError,omitempty"`
	LastErrorTime metav1.Time `json:"lastErrorTime"`
	// StillWorks says what works in spite of a component that is worse than OK.
	StillWorks []string `json:"stillWorks,omitempty"`
}

// What people want to know whether it still works.
const (
	Traffic = "containers reach each other"
	Reading = "objects can be read"
	// Changing: what was accepted is not lost, and is done as soon as it can be.
	Changing = "changes are accepted, and done when all is well again"
)

// Report is the health of all components at one moment. It is never changed
// once it was handed out.
type Report struct {
	// State is OK where nothing is missing, Degraded where something is and
	// what matters most goes on, and Unhealthy where that does not.
	State State `json:"state"`
	// Since is when all came into this state.
	Since metav1.Time `json:"since"`
	// Alive: the process and its store answer (/healthz).
	Alive bool `json:"alive"`
	// Ready: all that a change passes on its way to traffic answers (/readyz).
	Ready bool `json:"ready"`
	// Message names what is not OK; empty where all is.
	Message string `json:"message,omitempty"`
	// StillWorks says what works all the same, while State is not OK: what
	// none of the components that are worse than OK takes away.
	StillWorks []string `json:"stillWorks,omitempty"`
	// Components are in the order of their registration.
	Components []Component `json:"components"`
}

// Component finds a component by its name.
func (r Report) Component(name string) (Component, bool) {
	i := slices.IndexFunc(r.Components, func(c Component) bool { return c.Name == name })
	if i < 0 {
		return Component{}, false
	}
	return r.Components[i], true
}

// summarise makes a report of components and what each of them means to the
// whole. before is the last report, whose Since stays where State does.
func summarise(before Report, checks []Check, components []Component, now time.Time) Report {
	r := Report{State: OK, Alive: true, Ready: true, Components: components}
	var wrong []string
	for i, c := range components {
		check := checks[i]
		means := c.State
		if means == Unhealthy && !check.Essential {
			means = Degraded
		}
		if means.Worse(r.State) {
			r.State = means
		}
		answers := c.State == OK || c.State == Degraded || c.State == Disabled
		r.Alive = r.Alive && (answers || !check.Liveness)
		r.Ready = r.Ready && (answers || !check.Readiness)
		if !c.State.Worse(OK) {
			continue
		}
		if len(wrong) == 0 {
			r.StillWorks = slices.Clone(c.StillWorks)
		}
		wrong = append(wrong, c.Name+" is "+strings.ToLower(string(c.State)))
		r.StillWorks = slices.DeleteFunc(r.StillWorks, func(s string) bool { return !slices.Contains(c.StillWorks, s) })
	}
	r.Message = strings.Join(wrong, ", ")
	r.Since = before.Since
	if r.State != before.State {
		r.Since = metav1.NewTime(now)
	}
	return r
}
