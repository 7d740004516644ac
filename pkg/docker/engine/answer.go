// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// translation says what the engine's networks are called here.
type translation struct {
	shadows []shadow
	// predefined are the ids of host and none, by their names.
	predefined map[string]string
	// ports are published ports, by the engine's id of the endpoint.
	ports map[string][]Port
}

// shadow finds a shadow by its name.
func (t translation) shadow(name string) (shadow, bool) {
	i := slices.IndexFunc(t.shadows, func(s shadow) bool { return s.name == name })
	if i < 0 {
		return shadow{}, false
	}
	return t.shadows[i], true
}

// text replaces the names and ids of shadows in a message.
func (t translation) text(message string) string {
	for _, s := range t.shadows {
		message = strings.ReplaceAll(strings.ReplaceAll(message, s.id, s.network), s.name, s.label)
	}
	return message
}

// knows tells whether all shadows that containers are on are known.
func (t translation) knows(containers []object) bool {
	for _, c := range containers {
		names := []string{c.part("HostConfig").text("NetworkMode")}
		for _, m := range atRest(c.part("NetworkSettings").part("Networks")) {
			names = append(names, m.name)
		}
		for _, name := range names {
			if _, ok := t.shadow(name); !ok && strings.HasPrefix(name, shadowPrefix) {
				return false
			}
		}
	}
	return true
}

// networksOf are our networks, by their ids in the control API, that running
// containers are on, but for those that are known to publish nothing.
func (t translation) networksOf(containers []object) []string {
	var out []string
	for _, c := range containers {
		host := c.part("HostConfig")
		if bindings, err := host.index("PortBindings"); err == nil && bindings >= 0 && // lists do not have it
			len(host.part("PortBindings")) == 0 && string(host.get("PublishAllPorts")) != "true" {
			continue
		}
		for _, m := range c.part("NetworkSettings").part("Networks") {
			s, ok := t.shadow(m.name)
			if ok && endpointOf(m.value) != "" && !slices.Contains(out, s.object) {
				out = append(out, s.object)
			}
		}
	}
	return out
}

// hasOn tells whether a container runs on one of our networks.
func (t translation) hasOn(c object) bool {
	return slices.ContainsFunc(c.part("NetworkSettings").part("Networks"), func(m member) bool {
		_, ok := t.shadow(m.name)
		return ok && endpointOf(m.value) != ""
	})
}

func endpointOf(settings json.RawMessage) string {
	var s struct{ EndpointID string }
	_ = json.Unmarshal(settings, &s)
	return s.EndpointID
}

// inspected returns what is told of one container.
func (t translation) inspected(c object) object {
	c = slices.Clone(c)
	host, settings := c.part("HostConfig"), c.part("NetworkSettings")
	networks, ports, nameServer := t.networks(settings.part("Networks"))
	exposed := c.part("Config").part("ExposedPorts")
	if host != nil {
		t.mode(&host)
		if nameServer != "" && slices.Equal(host.texts("Dns"), []string{nameServer}) {
			host.set("Dns", encode([]string{}))
		}
		c.set("HostConfig", host.encode())
	}
	if settings != nil && networks != nil {
		settings.set("Networks", networks.encode())
		settings.likeBridge(networks)
		if len(ports) > 0 || len(exposed) > 0 && t.hasOn(c) {
			settings.set("Ports", encode(portMap(ports, exposed)))
		}
		c.set("NetworkSettings", settings.encode())
	}
	return c
}

// listed returns what is told of one container in a list.
func (t translation) listed(c object) object {
	c = slices.Clone(c)
	host, settings := c.part("HostConfig"), c.part("NetworkSettings")
	networks, ports, _ := t.networks(settings.part("Networks"))
	if host != nil {
		t.mode(&host)
		c.set("HostConfig", host.encode())
	}
	if networks != nil {
		settings.set("Networks", networks.encode())
		c.set("NetworkSettings", settings.encode())
		if len(ports) > 0 {
			c.set("Ports", encode(portList(ports)))
		}
	}
	return c
}

// mode translates a network mode.
func (t translation) mode(host *object) {
	if s, ok := t.shadow(host.text("NetworkMode")); ok {
		host.set("NetworkMode", encode(s.label))
	}
}

// networks translates the networks of a container. It also tells the ports
// published at them, and the name server that it was given because it named none.
func (t translation) networks(networks object) (out object, ports []Port, nameServer string) {
	for _, m := range atRest(networks) {
		settings, _, err := parseObject(m.value)
		if err != nil {
			out = append(out, m)
			continue
		}
		if s, ok := t.shadow(m.name); ok {
			m.name = s.label
			// Empty is what it has that was never started.
			if settings.text("NetworkID") != "" {
				settings.set("NetworkID", encode(s.network))
			}
			for _, p := range t.ports[settings.text("EndpointID")] {
				ports = append(ports, onFamilies(p, settings.text("GlobalIPv6Address") != "")...)
			}
			options := settings.options()
			for _, o := range options {
				if o.name == optionNameServer {
					_ = json.Unmarshal(o.value, &nameServer)
				}
			}
			before := len(options)
			for _, own := range ownOptions {
				options.put(own, "")
			}
			if len(options) == 0 && before > 0 {
				settings.set("DriverOpts", json.RawMessage("null"))
			} else if before > 0 {
				settings.set("DriverOpts", options.encode())
			}
			m.value = settings.encode()
		} else if id := t.predefined[m.name]; id != "" && settings.text("NetworkID") != "" {
			settings.set("NetworkID", encode(id))
			m.value = settings.encode()
		}
		out = append(out, m)
	}
	return out, ports, nameServer
}

// likeBridge fills in what versions of the API before 1.52 also tell of a
// container beside its networks, and only if it is on the default one.
func (settings *object) likeBridge(networks object) {
	i := slices.IndexFunc(networks, func(m member) bool { return m.name == bridge })
	if i < 0 {
		return
	}
	on, _, err := parseObject(networks[i].value)
	if err != nil {
		return
	}
	for _, name := range []string{"EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress"} {
		if value := on.get(name); value != nil && settings.get(name) != nil {
			settings.set(name, value)
		}
	}
}

// onFamilies names the addresses of a port, as the engine does: one of each
// family, where it is published at all.
func onFamilies(p Port, ipv6 bool) []Port {
	if p.HostIP != "" {
		return []Port{p}
	}
	v4, v6 := p, p
	v4.HostIP, v6.HostIP = "0.0.0.0", "::"
	if ipv6 {
		return []Port{v4, v6}
	}
	return []Port{v4}
}

// binding is one published port in an inspected container.
type binding struct{ HostIp, HostPort string } //nolint:staticcheck // the API's names

// portMap is what is published of each port that a container has or exposes.
func portMap(ports []Port, exposed object) map[string][]binding {
	out := map[string][]binding{}
	for _, m := range exposed {
		out[m.name] = nil
	}
	for _, p := range ports {
		key := fmt.Sprintf("%d/%s", p.Container, p.Protocol)
		out[key] = append(out[key], binding{p.HostIP, fmt.Sprint(p.HostPort)})
	}
	return out
}

// portList is what is published of each port in a list of containers.
func portList(ports []Port) []map[string]any {
	var out []map[string]any
	for _, p := range ports {
		out = append(out, map[string]any{"IP": p.HostIP, "PrivatePort": p.Container, "PublicPort": p.HostPort, "Type": p.Protocol})
	}
	return out
}
