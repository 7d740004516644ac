// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Networks are our networks.
type Networks interface {
	// Networks lists all networks, with the predefined ones: bridge, host and none.
	Networks(ctx context.Context) ([]Network, error)
	// Candidates are at least the networks that a reference may mean: those whose
	// id or name it is, and if there are none, those whose id begins with it.
	Candidates(ctx context.Context, ref string) ([]Network, error)
	// Ports are the published ports of the endpoints on some networks, which are
	// named by their ids in the control API, by the engine's id of the endpoint.
	Ports(ctx context.Context, objects []string) (map[string][]Port, error)
	// Rename gives an endpoint, by the engine's id of it, another name on its network.
	Rename(ctx context.Context, on Network, endpoint, name string) error
}

// ours lists our networks.
func (e *Engine) ours(ctx context.Context) ([]Network, error) {
	networks, err := e.networks.Networks(ctx)
	if err != nil {
		return nil, oursAway(err)
	}
	return networks, nil
}

// network is the network of ours that a reference means.
func (e *Engine) network(ctx context.Context, ref string) (Network, error) {
	candidates, err := e.networks.Candidates(ctx, ref)
	if err != nil {
		return Network{}, oursAway(err)
	}
	return find(candidates, ref)
}

// oursAway is the refusal where our own networks cannot be read.
func oursAway(err error) error {
	var coded interface{ StatusCode() int }
	if errors.As(err, &coded) {
		return err
	}
	return &Error{http.StatusServiceUnavailable, "reading the networks: " + err.Error()}
}

// Network is one of our networks.
type Network struct {
	// ID and Name are those of Docker's API.
	ID, Name string
	// Object is the network's id in the control API.
	Object string
	// Driver is "host" and "null" for the two that the engine has itself.
	Driver  string
	Subnets []Subnet
	// EnableIPv4 and EnableIPv6 are its families; neither, where they are not known yet.
	EnableIPv4, EnableIPv6 bool
	Internal               bool
	MTU                    int
}

// Subnet is a subnet in force.
type Subnet struct {
	CIDR, Gateway string
}

// Port is one port of the host that leads to one of a container.
type Port struct {
	Protocol string
	// HostIP is empty for all of the host's addresses.
	HostIP              string
	HostPort, Container int
}

// bridge is the network of containers that name none.
const bridge = "bridge"

// find returns the network that a reference means: an id, a name, or the
// beginning of one id, in this order, as the engine finds networks.
func find(networks []Network, ref string) (Network, error) {
	var named, begun []Network
	for _, n := range networks {
		switch {
		case n.ID == ref:
			return n, nil
		case n.Name == ref:
			named = append(named, n)
		case strings.HasPrefix(n.ID, ref):
			begun = append(begun, n)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return Network{}, &Error{http.StatusBadRequest, fmt.Sprintf("network %s is ambiguous (%d matches found on name)", ref, len(named))}
	case len(begun) == 1:
		return begun[0], nil
	case len(begun) > 1:
		return Network{}, &Error{http.StatusBadRequest, fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", ref, len(begun))}
	}
	return Network{}, &Error{http.StatusNotFound, fmt.Sprintf("network %s not found", ref)}
}

// isPassed tells whether a network mode is the engine's own affair.
func isPassed(mode string) bool {
	return mode == "host" || mode == "none" || strings.HasPrefix(mode, "container:")
}

// named is the network that a mode names.
func named(mode string) string {
	if mode == "" || mode == "default" {
		return bridge
	}
	return mode
}

// matching are what the engine knows the networks by that a filter's value
// matches: by the name, or the beginning of the id.
func matching(networks []Network, value string) []string {
	var out []string
	for _, n := range networks {
		if n.Name != value && !strings.HasPrefix(n.ID, value) {
			continue
		}
		switch n.Driver {
		case "host":
			out = append(out, "host")
		case "null":
			out = append(out, "none")
		default:
			out = append(out, shadowName(n.ID))
		}
	}
	return out
}
