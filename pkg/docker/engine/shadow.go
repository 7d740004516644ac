// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	// driverName is the network and IPAM driver of shadow networks.
	driverName = "arca"
	// optionNetwork names the network that a shadow stands for, to both drivers.
	optionNetwork = "network.arca.dev/network"
	// labelID and labelName keep that network's id and name in Docker's API, for
	// containers that outlive it.
	labelID   = "network.arca.dev/id"
	labelName = "network.arca.dev/name"
	// shadowPrefix begins the name of a shadow.
	shadowPrefix = "arca-"
)

// shadow is what the engine has in place of one of our networks: its containers
// are on it, and the driver knows by its option where they really are.
type shadow struct {
	id, name string
	// network and label are the id and the name of our network, object is its id in
	// the control API.
	network, label, object string
}

// shadowName is the name of a network's shadow. It needs no asking, and is as
// long as Docker's short ids.
func shadowName(id string) string {
	const short = 12
	if len(id) > short {
		id = id[:short]
	}
	return shadowPrefix + id
}

// engineNetwork is a network in the engine's answers.
type engineNetwork struct {
	ID      string `json:"Id"`
	Name    string
	Driver  string
	Options map[string]string
	Labels  map[string]string
}

func (n engineNetwork) shadow() (shadow, bool) {
	of := n.Labels[labelID]
	return shadow{id: n.ID, name: n.Name, network: of, label: n.Labels[labelName], object: n.Options[optionNetwork]},
		of != "" && n.Options[optionNetwork] != "" && strings.HasPrefix(n.Name, shadowPrefix)
}

// shadowRequest is the request that makes a network's shadow.
func shadowRequest(n Network, driver, ipam string) map[string]any {
	config := []map[string]string{}
	for _, s := range n.Subnets {
		c := map[string]string{"Subnet": s.CIDR}
		if s.Gateway != "" {
			c["Gateway"] = s.Gateway
		}
		config = append(config, c)
	}
	option := map[string]string{optionNetwork: n.Object}
	request := map[string]any{
		"Name":           shadowName(n.ID),
		"CheckDuplicate": true, // engines before API 1.44 allow two of one name
		"Driver":         driver,
		"EnableIPv6":     n.EnableIPv6,
		"Internal":       n.Internal,
		"Options":        option,
		"IPAM":           map[string]any{"Driver": ipam, "Options": option, "Config": config},
		"Labels":         map[string]string{labelID: n.ID, labelName: n.Name},
	}
	if n.onlyIPv6() {
		request["EnableIPv4"] = false // an engine that is told nothing asks for a subnet
	}
	return request
}

func (n Network) onlyIPv6() bool { return n.EnableIPv6 && !n.EnableIPv4 }

// ipv4Since is the version of the API in which a network can be without IPv4.
const ipv4Since = 48

// checkFamilies refuses a network that the engine cannot have.
func (e *Engine) checkFamilies(n Network) error {
	version := e.apiVersion.Load()
	if !n.onlyIPv6() || version == nil || minorOf(*version) >= ipv4Since {
		return nil
	}
	return &Error{http.StatusBadRequest, fmt.Sprintf(
		"network %s has IPv6 only, which the engine cannot do: it speaks version %s of the API, and 1.%d is needed", n.Name, *version, ipv4Since)}
}

// known remembers shadows that were seen. What is known of one never changes, but
// one that is gone stays known until the next look.
type known struct {
	sync.Mutex
	list []shadow
}

func (k *known) all() []shadow {
	k.Lock()
	defer k.Unlock()
	return k.list
}

// add adds a shadow in place of one of its name.
func (k *known) add(s shadow) {
	k.Lock()
	defer k.Unlock()
	if !slices.Contains(k.list, s) {
		others := slices.DeleteFunc(slices.Clone(k.list), func(o shadow) bool { return o.name == s.name })
		k.list = append(others, s)
	}
}

func (k *known) replace(list []shadow) {
	k.Lock()
	defer k.Unlock()
	k.list = list
}

// lookAtShadows asks the engine for all shadows.
func (e *Engine) lookAtShadows(ctx context.Context) ([]shadow, error) {
	var list []engineNetwork
	if err := e.call(ctx, http.MethodGet, "/networks", filters("driver", e.driver), nil, &list); err != nil {
		return nil, fmt.Errorf("listing the engine's networks: %w", err)
	}
	var out []shadow
	for _, n := range list {
		if s, ok := n.shadow(); ok {
			out = append(out, s)
		}
	}
	e.known.replace(out)
	return out, nil
}

// shadowOf returns a network's shadow, which it makes where the engine has none.
func (e *Engine) shadowOf(ctx context.Context, n Network) (shadow, error) {
	e.shadows.Lock()
	defer e.shadows.Unlock()
	name := shadowName(n.ID)
	s, err := e.shadowNamed(ctx, name)
	if isNotFound(err) {
		if err := e.checkFamilies(n); err != nil {
			return s, err
		}
		if err := e.call(ctx, http.MethodPost, "/networks/create", nil, shadowRequest(n, e.driver, e.ipam), nil); err != nil {
			// Whatever the engine says: to a client that makes a container, "not found" is its image.
			return s, &Error{http.StatusInternalServerError, fmt.Sprintf("making network %s in the engine: %v", name, err)}
		}
		s, err = e.shadowNamed(ctx, name)
	}
	if err != nil {
		return s, fmt.Errorf("looking for the engine's network %s: %w", name, err)
	}
	if s.network != n.ID {
		return s, &Error{http.StatusConflict, fmt.Sprintf("the engine's network %s (%s) does not stand for network %s (%s); remove it", name, s.id, n.Name, n.ID)}
	}
	e.known.add(s)
	return s, nil
}

// shadowNamed asks the engine for one shadow. Its network is empty where the
// engine's network of this name is not a shadow.
func (e *Engine) shadowNamed(ctx context.Context, name string) (shadow, error) {
	var n engineNetwork
	if err := e.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(name), nil, nil, &n); err != nil {
		return shadow{}, err
	}
	s, ok := n.shadow()
	if !ok {
		s.network = ""
	}
	return s, nil
}

func isNotFound(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusNotFound
}
