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
	// driver is the network and IPAM driver of shadow networks.
	driver = "arca"
	// optionNetwork names the network that a shadow stands for, to both drivers.
	optionNetwork = "network.arca.dev/network"
	// labelName keeps that network's name, for containers that outlive it.
	labelName = "network.arca.dev/name"
	// shadowPrefix begins the name of a shadow.
	shadowPrefix = "arca-"
)

// shadow is what the engine has in place of one of our networks: its containers
// are on it, and the driver knows by its option where they really are.
type shadow struct {
	id, name string
	// network and label are the id and the name of our network.
	network, label string
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
	of := n.Options[optionNetwork]
	return shadow{id: n.ID, name: n.Name, network: of, label: n.Labels[labelName]},
		n.Driver == driver && of != "" && strings.HasPrefix(n.Name, shadowPrefix)
}

// shadowRequest is the request that makes a network's shadow.
func shadowRequest(n Network) map[string]any {
	config := []map[string]string{}
	for _, s := range n.Subnets {
		c := map[string]string{"Subnet": s.CIDR}
		if s.Gateway != "" {
			c["Gateway"] = s.Gateway
		}
		config = append(config, c)
	}
	option := map[string]string{optionNetwork: n.ID}
	return map[string]any{
		"Name":           shadowName(n.ID),
		"CheckDuplicate": true, // engines before API 1.44 allow two of one name
		"Driver":         driver,
		"EnableIPv6":     n.EnableIPv6,
		"Internal":       n.Internal,
		"Options":        option,
		"IPAM":           map[string]any{"Driver": driver, "Options": option, "Config": config},
		"Labels":         map[string]string{labelName: n.Name},
	}
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
	if err := e.call(ctx, http.MethodGet, "/networks", filters("driver", driver), nil, &list); err != nil {
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
		if err := e.call(ctx, http.MethodPost, "/networks/create", nil, shadowRequest(n), nil); err != nil {
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

// Sweep removes the shadows of networks that are gone, where no container is on
// them, started or not. It is for when a network was removed, and for the start.
func (e *Engine) Sweep(ctx context.Context) error {
	e.shadows.Lock()
	defer e.shadows.Unlock()
	shadows, err := e.lookAtShadows(ctx)
	if err != nil || len(shadows) == 0 {
		return err
	}
	networks, err := e.ours(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, n := range networks {
		there[n.ID] = true
	}
	var failed []error
	for _, s := range shadows {
		if there[s.network] {
			continue
		}
		query := filters("network", s.name)
		query.Set("all", "1")
		var containers []struct{ ID string }
		if err := e.call(ctx, http.MethodGet, "/containers/json", query, nil, &containers); err != nil {
			return fmt.Errorf("listing the containers on network %s: %w", s.name, err)
		}
		if len(containers) > 0 {
			continue
		}
		if err := e.call(ctx, http.MethodDelete, "/networks/"+s.id, nil, nil, nil); err != nil && !isNotFound(err) {
			failed = append(failed, fmt.Errorf("removing network %s from the engine: %w", s.name, err))
		}
	}
	if _, err := e.lookAtShadows(ctx); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
