// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// Columns of a port that refer to the options of its network.
const (
	dhcpColumn4 = "dhcpv4_options"
	dhcpColumn6 = "dhcpv6_options"
)

// dhcpOptions are what OVN answers to endpoints that ask for their address: a
// row for each subnet, to which the network's ports refer.
func dhcpOptions(n *v1alpha1.Network) (rows []ovnsync.Row) {
	for _, s := range n.Status.Subnets {
		gateway, err := netip.ParseAddr(s.Gateway)
		if err != nil {
			continue // Network has refused it
		}
		options := map[string]string{}
		if n.ServesNames() {
			options["dns_server"] = gateway.String()
		}
		column := dhcpColumn4
		if gateway.Is4() {
			options["server_id"] = gateway.String()
			options["server_mac"] = RouterMAC(n.Name).String()
			options["router"] = gateway.String()
			options["lease_time"] = strconv.Itoa(n.EffectiveLease())
			options["mtu"] = strconv.Itoa(n.EffectiveMTU())
			if domains := searchDomains(n); len(domains) > 0 {
				// OVN takes texts in quotation marks.
				options["domain_search_list"] = strconv.Quote(strings.Join(domains, ","))
			}
		} else {
			column = dhcpColumn6
			options["server_id"] = RouterMAC(n.Name).String()
			// No search domains: OVN 25.03 sends their text as it is, where clients
			// expect labels (RFC 3646) and drop it.
		}
		rows = append(rows, ovnsync.Row{
			ID:      dhcpID(n.Name, column),
			Model:   &nbdb.DHCPOptions{Cidr: s.CIDR, Options: options},
			Columns: dhcpColumns,
		})
	}
	return rows
}

// maxOption is how many bytes a DHCP option of IPv4 has, at most. OVN writes on
// beyond it, which breaks the whole answer.
const maxOption = 255

// searchDomains are those of a network's endpoints: its own name first, where
// that is one in DNS. Of what is too long for an option the first are told.
func searchDomains(n *v1alpha1.Network) (domains []string) {
	all := []string{n.EffectiveDNSName()}
	if n.Spec.DNS != nil {
		all = append(all, n.Spec.DNS.Search...)
	}
	length := 0
	for _, d := range all {
		if !isDomain(d) {
			continue
		}
		if length += len(d) + 2; length > maxOption { // a byte before each label, and the root's
			break
		}
		domains = append(domains, d)
	}
	return domains
}

// isDomain tells whether a name can be asked for, as the name server sees it: its
// labels have 1 to 63 bytes, all of it at most 253 (RFC 1035). The name of an
// object may have a longer label, of which OVN would make what clients cannot read.
func isDomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return len(name) <= 253
}

// routerAdvertisement tells endpoints to ask for their IPv6 address, and where
// the router is, which DHCPv6 cannot.
func routerAdvertisement(n *v1alpha1.Network) map[string]string {
	if !n.ServesDHCP() {
		return nil
	}
	return map[string]string{
		"address_mode":  "dhcpv6_stateful",
		"send_periodic": "true",
		"mtu":           strconv.Itoa(n.EffectiveMTU()),
	}
}

// dhcpReferences are those of a port of the network.
func dhcpReferences(n *v1alpha1.Network) []ovnsync.ColumnReference {
	refs := []ovnsync.ColumnReference{
		{Column: dhcpColumn4, Table: nbdb.DHCPOptionsTable},
		{Column: dhcpColumn6, Table: nbdb.DHCPOptionsTable},
	}
	for i := range refs {
		if n.ServesDHCP() {
			refs[i].ID = dhcpID(n.Name, refs[i].Column)
		}
	}
	return refs
}
