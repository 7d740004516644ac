// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Options of an endpoint that are told to the driver, and to nobody else.
const (
	optionContainer = "network.arca.dev/container-id"
	optionHostname  = "network.arca.dev/hostname"
	optionAliases   = "network.arca.dev/aliases"
	// optionLinkLocal are the link-local addresses that were asked for, which an
	// engine keeps to itself.
	optionLinkLocal = "network.arca.dev/link-local-addresses"
	// optionNames are names that the engine gives the container besides.
	optionNames = "network.arca.dev/names"
	// optionMAC is the MAC address that was asked for. The engine keeps it, but
	// does not tell it of a container that was stopped.
	optionMAC = "network.arca.dev/mac-address"
	// optionNameServer is the name server that a container was given because it
	// named none.
	optionNameServer = "network.arca.dev/name-server"
	// optionResolver has the driver make the gateway the container's name server, in
	// place of the engine's own.
	optionResolver  = "network.arca.dev/resolver"
	resolverGateway = "gateway"
)

var ownOptions = []string{optionContainer, optionHostname, optionAliases, optionLinkLocal, optionNames, optionMAC, optionNameServer, optionResolver}

// creation is a request to create a container.
type creation struct {
	body object
	// rest is what follows the object. Newer engines refuse it.
	rest      []byte
	host      object
	endpoints object
	// off: the container is to have no network at all.
	off bool
}

// parseCreation reads a request. It is nil where the engine is sure to refuse it:
// that it is no JSON, or what should be an object is none, the engine says itself.
func parseCreation(data []byte) (*creation, error) {
	body, rest, err := parseObject(data)
	if err != nil {
		return nil, nil
	}
	c := &creation{body: body, rest: rest}
	if off, err := c.member(body, "NetworkDisabled"); err != nil {
		return nil, err
	} else if off != nil && json.Unmarshal(off, &c.off) != nil {
		return nil, nil
	}
	var networking object
	for _, part := range []struct {
		in   *object
		name string
		into *object
	}{{&c.body, "HostConfig", &c.host}, {&c.body, "NetworkingConfig", &networking}, {&networking, "EndpointsConfig", &c.endpoints}} {
		value, err := c.member(*part.in, part.name)
		if err != nil {
			return nil, err
		}
		if value == nil {
			continue
		}
		if *part.into, _, err = parseObject(value); err != nil {
			return nil, nil
		}
	}
	mode, err := c.member(c.host, "NetworkMode")
	if err != nil {
		return nil, err
	}
	var text string
	if mode != nil && json.Unmarshal(mode, &text) != nil {
		return nil, nil
	}
	return c, nil
}

func (c *creation) member(o object, name string) (json.RawMessage, error) {
	if _, err := o.index(name); err != nil {
		return nil, &Error{http.StatusBadRequest, "invalid JSON: " + err.Error()}
	}
	return o.get(name), nil
}

func (c *creation) mode() string { return c.host.text("NetworkMode") }

// refs are the networks of ours that the request names.
func (c *creation) refs() []string {
	var out []string
	if mode := c.mode(); !isPassed(mode) {
		out = append(out, named(mode))
	}
	for _, m := range c.endpoints {
		if ref := named(m.name); !isPassed(ref) && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// place is where a reference leads: our network, and what the engine knows it by.
type place struct {
	Network
	shadow string
}

// builtIn tells whether the place is one of the engine's own networks.
func (p place) builtIn() bool { return p.shadow == "host" || p.shadow == "none" }

// check finds what an engine refuses of endpoints on its own default network.
// It would take them, for the shadow of bridge is like any other to it.
func (c *creation) check(places map[string]place) error {
	var wrong []string
	for _, m := range c.endpoints {
		if places[named(m.name)].Name != bridge {
			continue
		}
		if said := onBridge(m.value); said != "" {
			wrong = append(wrong, fmt.Sprintf("invalid config for network %s: %s", m.name, said))
		}
	}
	if len(wrong) > 0 {
		return &Error{http.StatusBadRequest, strings.Join(wrong, "\n")}
	}
	return nil
}

// onBridge tells what endpoint settings ask for that the default network has not.
func onBridge(settings json.RawMessage) string {
	var s struct {
		IPAMConfig *struct{ IPv4Address, IPv6Address string }
		Aliases    []string
	}
	if json.Unmarshal(settings, &s) != nil {
		return "" // the engine's to refuse
	}
	var wrong []string
	if s.IPAMConfig != nil && (s.IPAMConfig.IPv4Address != "" || s.IPAMConfig.IPv6Address != "") {
		wrong = append(wrong, "user-specified IP address is supported on user-defined networks only")
	}
	if len(s.Aliases) > 0 {
		wrong = append(wrong, "network-scoped aliases are only supported for user-defined networks")
	}
	if len(wrong) == 0 {
		return ""
	}
	return "invalid endpoint settings:\n" + strings.Join(wrong, "\n")
}

// onShadows returns the request with the shadows of its networks. References
// without a place stay as they are: the engine knows no such network either, and
// says so when the container is started.
func (c *creation) onShadows(name string, places map[string]place) []byte {
	mode := named(c.mode())
	on, placed := places[mode]
	asks := c.asksGateway()
	var endpoints object
	for _, m := range c.endpoints {
		p, ok := places[named(m.name)]
		if !ok {
			endpoints = append(endpoints, m)
			continue
		}
		settings, _, err := parseObject(m.value)
		if p.builtIn() || err != nil && string(m.value) != "null" { // what is no object the engine refuses
			endpoints = append(endpoints, member{p.shadow, m.value})
			continue
		}
		endpoints = append(endpoints, member{p.shadow, tell(settings, containerState{Name: name}, asks).encode()})
	}
	if placed {
		c.host.set("NetworkMode", encode(on.shadow))
		c.body.set("HostConfig", c.host.encode())
	}
	if placed && !on.builtIn() {
		if len(endpoints) == 0 {
			endpoints = object{{on.shadow, tell(nil, containerState{Name: name}, asks).encode()}}
		}
		i := slices.IndexFunc(endpoints, func(m member) bool { return m.name == on.shadow })
		if i < 0 {
			i = 0
		}
		settings, _, err := parseObject(endpoints[i].value)
		if err == nil {
			c.askGateway(&settings, on)
			if on.Name == bridge {
				c.link(&settings)
			}
			endpoints[i].value = settings.encode()
		}
		c.body.set("HostConfig", c.host.encode())
	}
	if len(endpoints) > 0 {
		networking, _, err := parseObject(c.body.get("NetworkingConfig"))
		if err != nil {
			networking = object{}
		}
		networking.set("EndpointsConfig", endpoints.encode())
		c.body.set("NetworkingConfig", networking.encode())
	}
	return append(c.body.encode(), c.rest...)
}

// asksGateway tells whether the container's name server is to be its gateway. Who
// names servers means those, and links are names that only the engine knows.
func (c *creation) asksGateway() bool {
	return len(c.host.texts("Dns")) == 0 && len(c.host.texts("Links")) == 0 &&
		!slices.ContainsFunc(c.endpoints, func(m member) bool { return hasLinks(m.value) })
}

func hasLinks(settings json.RawMessage) bool {
	s, _, err := parseObject(settings)
	return err == nil && len(s.texts("Links")) > 0
}

// tell returns endpoint settings with what the driver is told of the container,
// and without the id by which we know the network.
func tell(settings object, c containerState, asksGateway bool) object {
	settings = slices.Clone(settings)
	settings.drop("NetworkID")
	options := settings.options()
	if mac := settings.text("MacAddress"); mac != "" {
		options.put(optionMAC, mac)
	}
	resolver := ""
	if asksGateway {
		resolver = resolverGateway
	}
	for option, value := range map[string]string{
		optionContainer: c.ID,
		optionHostname:  c.Name,
		optionNames:     c.hostname(),
		optionAliases:   strings.Join(settings.texts("Aliases"), ","),
		optionLinkLocal: strings.Join(settings.part("IPAMConfig").texts("LinkLocalIPs"), ","),
		optionResolver:  resolver,
	} {
		options.put(option, value)
	}
	settings.setOptions(options)
	return settings
}

// askGateway makes the gateway of the container's network its name server, where
// it names none. The engine's resolver asks it for what it does not know itself.
func (c *creation) askGateway(settings *object, on place) {
	if len(c.host.texts("Dns")) > 0 || len(on.Subnets) == 0 || on.Subnets[0].Gateway == "" {
		return
	}
	gateway := on.Subnets[0].Gateway
	c.host.set("Dns", encode([]string{gateway}))
	options := settings.options()
	options.put(optionNameServer, gateway)
	settings.setOptions(options)
}

// link makes links of the default network those of its shadow. An engine has
// them apart, for its default network has no names.
func (c *creation) link(settings *object) {
	links := c.host.texts("Links")
	if len(links) == 0 {
		return
	}
	settings.set("Links", encode(append(settings.texts("Links"), links...)))
}
