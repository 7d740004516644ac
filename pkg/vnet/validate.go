// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxNameLen is the kernel's IFNAMSIZ without the terminating zero.
const maxNameLen = 15

// Validate reports what is wrong with the port as it is written, without looking
// at the host.
func (p Port) Validate() error {
	if p.Owner.UID == "" || p.Owner.Kind == "" {
		return errors.New("port owner: kind and uid must be set")
	}
	if strings.ContainsRune(p.Owner.Kind, '/') {
		return fmt.Errorf("port owner kind %q: must not contain '/'", p.Owner.Kind)
	}
	if len(linkAlias(p.Owner)) > maxAliasLen {
		return fmt.Errorf("port owner uid %q: too long for a link alias", p.Owner.UID)
	}
	for field, v := range map[string]string{"owner name": p.Owner.Name, "owner uid": p.Owner.UID, "owner kind": p.Owner.Kind, "IfaceID": p.IfaceID} {
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			return fmt.Errorf("port %s %q: not text: the database would drop the connection over it", field, v)
		}
	}
	if err := checkName("Name", p.Name); err != nil {
		return err
	}
	if n := len(p.MAC); n != 0 && (n != 6 || p.MAC[0]&1 != 0) {
		return fmt.Errorf("port %s: MAC %q: want a unicast address of 6 bytes", p.Name, p.MAC)
	}
	if p.MTU < 0 || p.MTU > 65535 {
		return fmt.Errorf("port %s: MTU %d: want 0 to 65535", p.Name, p.MTU)
	}
	switch p.Type {
	case Veth:
		if err := checkName("InnerName", p.InnerName); err != nil {
			return err
		}
		if !filepath.IsAbs(p.Netns) {
			return &NetnsError{Path: p.Netns, Err: errors.New("want an absolute path")}
		}
	case Tap, Internal, External:
		if p.Netns != "" || p.InnerName != "" {
			return fmt.Errorf("port %s: Netns and InnerName are for type %s, not %s", p.Name, Veth, p.Type)
		}
	default:
		return fmt.Errorf("port %s: type %q: want %s, %s, %s or %s", p.Name, p.Type, Veth, Tap, Internal, External)
	}
	for _, a := range p.Addresses {
		if !a.IsValid() {
			return fmt.Errorf("port %s: address %q is not valid", p.Name, a)
		}
	}
	for _, r := range p.Routes {
		if !r.Dst.IsValid() || (r.Via.IsValid() && r.Via.Is4() != r.Dst.Addr().Is4()) {
			return fmt.Errorf("port %s: route to %s via %s is not valid", p.Name, r.Dst, r.Via)
		}
		if r.MTU < 0 {
			return fmt.Errorf("port %s: route to %s via %s: mtu %d: must not be less than 0", p.Name, r.Dst, r.Via, r.MTU)
		}
	}
	return nil
}

func checkName(field, name string) error {
	bad := func(problem string) error { return &NameError{Field: field, Value: name, Problem: problem} }
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > maxNameLen:
		return bad(fmt.Sprintf("has %d bytes", len(name)))
	case name == "." || name == "..":
		return bad("is reserved")
	case strings.ContainsAny(name, "/: \t\n\v\f\r\x00") || !utf8.ValidString(name):
		return bad("has a forbidden character")
	}
	return nil
}
