// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// attachment is an interface that a runtime asks for.
type attachment struct {
	container, ifname, netns string
	args                     *cniArgs
}

// attachRequest is what to ask the control API for, and where each of its
// fields came from, to name that in errors. The ids are left out.
func attachRequest(c *config, a attachment) (*controlpb.AttachContainerRequest, origins, error) {
	var from origins
	r := &controlpb.AttachContainerRequest{
		Interface: &controlpb.Interface{Type: "Veth", Netns: a.netns, Name: a.ifname},
		Labels:    map[string]string{},
	}
	from.add("interface.netns", "CNI_NETNS")
	from.add("interface.name", "CNI_IFNAME")
	from.add("container_id", "CNI_CONTAINERID")
	from.add("network_id", "network")

	r.Mac = cmp.Or(c.RuntimeConfig.MAC, string(a.args.MAC))
	if c.RuntimeConfig.MAC != "" {
		from.add("mac", "runtimeConfig.mac")
	} else {
		from.add("mac", "CNI_ARGS MAC")
	}

	ips, field := wantedIPs(c, a.args)
	for i, s := range ips {
		at := fmt.Sprintf("%s[%d]", field, i)
		address, err := parseIP(s)
		if err != nil {
			return nil, nil, invalidConfig(at, fmt.Sprintf("%q: must be an IP address, with or without a prefix length, for example 10.88.0.10/24", s))
		}
		r.Addresses = append(r.Addresses, address.String())
		from.add(fmt.Sprintf("addresses[%d]", i), at)
	}
	from.add("addresses", field)

	ports, err := publish(c.RuntimeConfig.PortMappings)
	if err != nil {
		return nil, nil, err
	}
	for i, p := range ports {
		r.Ports = append(r.Ports, p.PublishedPort)
		at := fmt.Sprintf("runtimeConfig.portMappings[%d]", p.from)
		for _, f := range [][2]string{{".host_ip", ".hostIP"}, {".host_port", ".hostPort"}, {".container_port", ".containerPort"}, {"", ""}} {
			from.add(fmt.Sprintf("ports[%d]%s", i, f[0]), at+f[1])
		}
	}
	from.add("ports", "runtimeConfig.portMappings")

	if b := c.RuntimeConfig.Bandwidth; b != nil {
		r.Bandwidth = &controlpb.Bandwidth{}
		for _, l := range []struct {
			name        string
			rate, burst int64
			to          **controlpb.BandwidthLimit
		}{
			{"ingress", b.IngressRate, b.IngressBurst, &r.Bandwidth.Ingress},
			{"egress", b.EgressRate, b.EgressBurst, &r.Bandwidth.Egress},
		} {
			from.add("bandwidth."+l.name+".rate", "runtimeConfig.bandwidth."+l.name+"Rate")
			from.add("bandwidth."+l.name+".burst", "runtimeConfig.bandwidth."+l.name+"Burst")
			switch {
			case l.rate != 0:
				*l.to = &controlpb.BandwidthLimit{Rate: l.rate, Burst: l.burst}
			case l.burst != 0:
				return nil, nil, invalidConfig("runtimeConfig.bandwidth."+l.name+"Rate", fmt.Sprintf("must be given with %sBurst (%d)", l.name, l.burst))
			}
		}
		if r.Bandwidth.Ingress == nil && r.Bandwidth.Egress == nil {
			r.Bandwidth = nil
		}
	}
	from.add("bandwidth", "runtimeConfig.bandwidth")

	r.Aliases = wantedAliases(c, a.args)
	from.add("aliases", "runtimeConfig.aliases")

	for _, l := range c.Args.CNI.Labels {
		r.Labels[l.Key] = l.Value
	}
	from.add("labels", "args.cni.labels")
	r.Labels[networkLabel] = labelOf(c.Name)
	r.Annotations = facts(c, a)
	return r, from, nil
}

// wantedIPs are the addresses asked for. What the runtime gives for the
// capability counts before args, and args before CNI_ARGS, as CNI's conventions
// say.
func wantedIPs(c *config, args *cniArgs) (ips []string, field string) {
	switch {
	case len(c.RuntimeConfig.IPs) > 0:
		return c.RuntimeConfig.IPs, "runtimeConfig.ips"
	case len(c.Args.CNI.IPs) > 0:
		return c.Args.CNI.IPs, "args.cni.ips"
	case args.IP != "":
		return strings.Split(string(args.IP), ","), "CNI_ARGS IP"
	}
	return nil, "runtimeConfig.ips"
}

func parseIP(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), nil
	}
	return netip.ParseAddr(s)
}

// aliasForm is what can be an alias.
var aliasForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]|[.][A-Za-z0-9_]){0,62}$`)

// isAlias tells whether a name is one that an attachment takes as an alias.
func isAlias(name string) bool {
	return len(name) <= 63 && aliasForm.MatchString(name) && !strings.HasSuffix(name, "-")
}

// wantedAliases are the names that the runtime gives, and the pod's. The pod's
// are aliases too and not the container's name, for that must be unique on a
// network, and a pod's is not; one that is too long for DNS is left out,
// for nobody has asked for it.
func wantedAliases(c *config, args *cniArgs) []string {
	out := slices.Clone(c.RuntimeConfig.Aliases.of(c.Name))
	pod, namespace := string(args.K8S_POD_NAME), string(args.K8S_POD_NAMESPACE)
	for _, name := range []string{pod, pod + "." + namespace} {
		if isAlias(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// factPrefix is what the names of facts begin with.
const factPrefix = "cni.network.arca.dev/"

// facts are for people who look at the object: nothing is decided by them.
func facts(c *config, a attachment) map[string]string {
	out := map[string]string{
		factPrefix + "config":        c.Name,
		factPrefix + "container":     a.container,
		factPrefix + "ifname":        a.ifname,
		factPrefix + "pod-name":      string(a.args.K8S_POD_NAME),
		factPrefix + "pod-namespace": string(a.args.K8S_POD_NAMESPACE),
		factPrefix + "pod-uid":       string(a.args.K8S_POD_UID),
	}
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}
