// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// The kernel forwards nothing unless told to, interface by interface. It is
// told to for the interfaces that packets of endpoints pass: the uplink and
// those that have an address. An interface that did not forward before us is
// quiet: the table drops what would go from one quiet interface to another, so
// that the host does not become a router for its neighbours. Where the host
// forwards already (Docker, a router) nothing is changed and nothing is quiet.
//
// Forwarding for one interface of IPv6 alone (force_forwarding) is in Linux
// since 6.17. Before, it can only be switched on for all, which would also end
// that router advertisements are accepted: interfaces that do so are told to go on.

// hostLink is an interface with an address of the family.
type hostLink struct {
	name     string
	forwards bool
	acceptRA string // IPv6: 0, 1, or 2 for also when forwarding
}

// switches is what the kernel says about forwarding in one family.
type switches struct {
	family *family
	all    bool // it is on for every interface
	single bool // it can be switched for one interface alone
	uplink bool // there is an uplink
	upOn   bool // and it forwards
	local  bool // and it routes loopback addresses
	links  []hostLink
}

// setting is a sysctl to be written.
type setting struct{ path, value string }

func conf(f *family, link, key string) string {
	version := "ipv4"
	if f == ip6 {
		version = "ipv6"
	}
	return filepath.Join("/proc/sys/net", version, "conf", link, key)
}

func (s switches) key() string {
	if s.family == ip6 && s.single {
		return "force_forwarding"
	}
	return "forwarding"
}

// decideForwarding tells which interfaces are quiet from now on and what is to
// be written after the table says so. was is the set as it is in the kernel.
func decideForwarding(s switches, uplink string, was map[string]string) (quiet map[string]string, write []setting) {
	quiet = map[string]string{}
	if s.uplink && s.family == ip4 && !s.local {
		write = append(write, setting{conf(ip4, uplink, "route_localnet"), "1"})
	}
	if s.single && s.all {
		return quiet, write // the host's own will, or it has become so since
	}
	for _, l := range s.links {
		_, wasQuiet := was[nameKey(l.name)]
		switch {
		case l.forwards && wasQuiet:
			quiet[nameKey(l.name)] = ""
		case l.forwards:
			// It did before us.
		case s.single:
			quiet[nameKey(l.name)] = ""
			write = append(write, setting{conf(s.family, l.name, s.key()), "1"})
		case !s.all:
			quiet[nameKey(l.name)] = ""
			if l.acceptRA == "1" {
				write = append(write, setting{conf(ip6, l.name, "accept_ra"), "2"})
			}
		}
	}
	switch {
	case s.single && s.uplink && !s.upOn:
		write = append(write, setting{conf(s.family, uplink, s.key()), "1"})
	case !s.single && !s.all:
		write = append(write, setting{conf(ip6, "all", "forwarding"), "1"})
	}
	return quiet, write
}

func linkExists(name string) (bool, error) {
	_, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading interface %s: %w", name, err)
	}
	return true, nil
}

// observe reads the switches of a family.
func observe(f *family, uplink string) (switches, error) {
	s := switches{family: f, single: true}
	if f == ip6 {
		_, err := os.Stat(conf(ip6, "all", "force_forwarding"))
		s.single = err == nil
	}
	all, err := readSetting(conf(f, "all", "forwarding"))
	if errors.Is(err, fs.ErrNotExist) {
		return switches{family: f, single: true, all: true}, nil // a kernel without the family
	}
	if err != nil {
		return s, err
	}
	s.all = all != "0"
	version := netlink.FAMILY_V4
	if f == ip6 {
		version = netlink.FAMILY_V6
	}
	addrs, err := netlink.AddrList(nil, version)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return s, fmt.Errorf("listing addresses: %w", err)
	}
	// Only those that are of interest: there is an interface for each container.
	if s.uplink, err = linkExists(uplink); err != nil {
		return s, err
	}
	names := map[int]string{}
	for _, a := range addrs {
		if _, known := names[a.LinkIndex]; known {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		switch {
		case errors.As(err, &netlink.LinkNotFoundError{}):
			names[a.LinkIndex] = "" // it went away
		case err != nil:
			return s, fmt.Errorf("reading interface %d: %w", a.LinkIndex, err)
		default:
			names[a.LinkIndex] = l.Attrs().Name
		}
	}
	var with []string
	for _, a := range addrs {
		addr, ok := netip.AddrFromSlice(a.IP)
		name := names[a.LinkIndex]
		if ok && name != "" && name != uplink && name != "lo" && !addr.Unmap().IsLinkLocalUnicast() && !slices.Contains(with, name) {
			with = append(with, name)
		}
	}
	for _, name := range with {
		l := hostLink{name: name}
		on, err := readSetting(conf(f, name, s.key()))
		if err == nil && f == ip6 {
			l.acceptRA, err = readSetting(conf(ip6, name, "accept_ra"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went away
		}
		if err != nil {
			return s, err
		}
		l.forwards = on != "0"
		s.links = append(s.links, l)
	}
	if s.uplink {
		on, err := readSetting(conf(f, uplink, s.key()))
		if err == nil && f == ip4 {
			var local string
			local, err = readSetting(conf(ip4, uplink, "route_localnet"))
			s.local = local != "0"
		}
		if errors.Is(err, fs.ErrNotExist) {
			s.uplink = false
		} else if err != nil {
			return s, err
		}
		s.upOn = on != "0"
	}
	return s, nil
}

func readSetting(path string) (string, error) {
	raw, err := os.ReadFile(path)
	return strings.TrimSpace(string(raw)), err
}

// writeSettings writes sysctls. An interface that went away needs none.
func writeSettings(write []setting) error {
	for _, s := range write {
		if err := os.WriteFile(s.path, []byte(s.value), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("switching forwarding on: %w", err)
		}
	}
	return nil
}
