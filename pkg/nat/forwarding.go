// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
// A quiet interface stays so while it forwards, with or without an address: it
// is we who told it to.
//
// Forwarding for one interface of IPv6 alone (force_forwarding) is in Linux
// since 6.17. Before, it can only be switched on for all, which would also end
// that router advertisements are accepted: interfaces that do so, and those to
// come, are told to go on. One that has no address yet may learn it this way,
// and is quiet from the beginning.

// hostLink is an interface with an address of the family, a quiet one, or one
// that forwarding for all would concern.
type hostLink struct {
	name     string
	forwards bool
	bare     bool   // it has no address now
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
	// defaultRA is acceptRA of interfaces to come, where we are to switch for all.
	defaultRA string
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
	if !s.single {
		return decideForAll(s, was)
	}
	quiet = map[string]string{}
	if s.uplink && s.family == ip4 && !s.local {
		write = append(write, setting{conf(ip4, uplink, "route_localnet"), "1"})
	}
	if s.all {
		// The host's own will, or it has become so since. What ends it ends all
		// that we have switched as well: that is what the kernel makes of a 0 for all.
		return quiet, write
	}
	for _, l := range s.links {
		_, wasQuiet := was[nameKey(l.name)]
		switch {
		case l.forwards && wasQuiet:
			quiet[nameKey(l.name)] = ""
		case l.forwards, l.bare:
			// It did before us, or needs not.
		default:
			quiet[nameKey(l.name)] = ""
			write = append(write, setting{conf(s.family, l.name, s.key()), "1"})
		}
	}
	if s.uplink && !s.upOn {
		write = append(write, setting{conf(s.family, uplink, s.key()), "1"})
	}
	return quiet, write
}

// decideForAll is decideForwarding for IPv6 where the switch for all is the only
// one. What an interface's own says is no more than whether it is a router's.
func decideForAll(s switches, was map[string]string) (quiet map[string]string, write []setting) {
	// An interface that is away for a moment, or not up yet, comes back forwarding.
	if quiet = maps.Clone(was); quiet == nil {
		quiet = map[string]string{}
	}
	if s.all {
		return quiet, nil // what has come since cannot be told from the host's own will
	}
	if s.defaultRA == "1" {
		write = append(write, setting{conf(ip6, "default", "accept_ra"), "2"})
	}
	for _, l := range s.links {
		endsRA := l.acceptRA == "1" && !l.forwards
		if l.bare && !endsRA && l.acceptRA != "2" {
			continue
		}
		quiet[nameKey(l.name)] = ""
		if endsRA {
			write = append(write, setting{conf(ip6, l.name, "accept_ra"), "2"})
		}
	}
	return quiet, append(write, setting{conf(ip6, "all", "forwarding"), "1"})
}

// giveBack tells what to write so that the quiet interfaces forward no more than
// before us.
func giveBack(s switches, was map[string]string) (write []setting) {
	switch {
	case len(was) == 0:
	case !s.single:
		return []setting{{conf(s.family, "all", "forwarding"), "0"}}
	case s.all:
		// The host has come to forward by its own will.
	default:
		for _, key := range slices.Sorted(maps.Keys(was)) {
			write = append(write, setting{conf(s.family, keyName(key), s.key()), "0"})
		}
	}
	return write
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

// observe reads the switches of a family. was are the quiet interfaces.
func observe(f *family, o Options, was map[string]string) (switches, error) {
	single := true
	if f == ip6 {
		_, err := os.Stat(conf(ip6, "all", "force_forwarding"))
		single = err == nil
	}
	return observeAs(f, o, was, single)
}

// observeAs is observe on a kernel that can switch a single interface, or cannot.
func observeAs(f *family, o Options, was map[string]string, single bool) (switches, error) {
	s, uplink := switches{family: f, single: single}, o.Uplink
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
	addressed := len(with)
	var more []string
	for _, key := range slices.Sorted(maps.Keys(was)) {
		more = append(more, keyName(key))
	}
	if !s.single && !s.all {
		if s.defaultRA, err = readSetting(conf(ip6, "default", "accept_ra")); err != nil {
			return s, err
		}
		hosts, err := linksOfHost(o)
		if err != nil {
			return s, err
		}
		more = append(more, hosts...)
	}
	for _, name := range more {
		if !slices.Contains(with, name) {
			with = append(with, name)
		}
	}
	for i, name := range with {
		l := hostLink{name: name, bare: i >= addressed}
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

// linksOfHost are the interfaces that may get an address: not what is part of a
// bridge or the like, nor the ports and the uplink.
func linksOfHost(o Options) (names []string, err error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		port := o.PortGroup != 0 && a.Group == o.PortGroup
		if !port && a.MasterIndex == 0 && a.Name != o.Uplink && a.Name != "lo" {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

func readSetting(path string) (string, error) {
	raw, err := os.ReadFile(path)
	return strings.TrimSpace(string(raw)), err
}

// writeSettings writes sysctls. An interface that went away needs none.
func writeSettings(write []setting) error {
	for _, s := range write {
		if err := os.WriteFile(s.path, []byte(s.value), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("switching forwarding: %w", err)
		}
	}
	return nil
}
