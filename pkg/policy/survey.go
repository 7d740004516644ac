// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Endpoint is what selectors look at.
type Endpoint struct {
	Network string
	Labels  labels.Labels
}

// Survey tells what selectors select among the endpoints that there are.
type Survey struct {
	// Selected names, for each selector's key, the networks of what it selects.
	Selected map[string][]string
	// together tells which subjects have an endpoint in common.
	together map[[2]subject]bool
}

// Look surveys endpoints for the selectors of some policies, also of what was
// accepted of them last.
func Look(policies []*v1alpha1.Policy, endpoints []Endpoint) Survey {
	out := Survey{Selected: map[string][]string{}, together: map[[2]subject]bool{}}
	selectors := map[string]Selector{}
	for _, p := range policies {
		maps.Copy(selectors, Selectors(p))
		if spec := p.SpecInForce(); spec != nil {
			maps.Copy(selectors, Selectors(p.WithSpec(spec)))
		}
	}
	if len(selectors) == 0 {
		return out
	}
	keys := slices.Sorted(maps.Keys(selectors))
	places := map[string]map[string]bool{}
	for _, e := range endpoints {
		of := []subject{{network: e.Network}}
		for _, key := range keys {
			if !selectors[key].Matches(e.Labels) {
				continue
			}
			of = append(of, subject{selector: key})
			if places[key] == nil {
				places[key] = map[string]bool{}
			}
			places[key][e.Network] = true
		}
		for _, a := range of[1:] {
			for _, b := range of {
				out.together[[2]subject{a, b}], out.together[[2]subject{b, a}] = true, true
			}
		}
	}
	for key, networks := range places {
		out.Selected[key] = slices.Sorted(maps.Keys(networks))
	}
	return out
}

// meet tells whether two subjects have an endpoint in common.
func (s Survey) meet(a, b subject) bool { return a == b || s.together[[2]subject{a, b}] }
