// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
)

// ErrNotConnected is returned while there is no usable connection to the
// Open_vSwitch database: what is known of it then may be stale, so nothing is
// answered from it. An Event with All set follows when the connection is back.
var ErrNotConnected = errors.New("not connected to the Open_vSwitch database")

// NetnsError says that a network namespace cannot be entered. An Event of
// reason NetnsAppeared follows when the path is one again.
type NetnsError struct {
	Path string
	Err  error
}

func (e *NetnsError) Error() string {
	return fmt.Sprintf("network namespace %q: %v", e.Path, e.Err)
}

func (e *NetnsError) Unwrap() error { return e.Err }

// NameError says that a name cannot be the name of an interface.
type NameError struct {
	// Field of Port: Name or InnerName.
	Field, Value, Problem string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s %q: %s; want 1 to 15 bytes without space, '/' or ':'", e.Field, e.Value, e.Problem)
}

// ConflictError says that something of that name exists and belongs to somebody
// else. It is never taken over or removed.
type ConflictError struct {
	// Name of the interface or OVS port.
	Name string
	// Netns is the path of the namespace it is in; empty for the host's.
	Netns string
	// Holder says what holds the name.
	Holder string
}

func (e *ConflictError) Error() string {
	if e.Netns != "" {
		return fmt.Sprintf("interface %q in network namespace %q is taken by %s", e.Name, e.Netns, e.Holder)
	}
	return fmt.Sprintf("interface %q is taken by %s", e.Name, e.Holder)
}

// InterfaceMissingError says that the interface of an External port does not
// exist. An Event of reason LinkAppeared follows when it does.
type InterfaceMissingError struct {
	Name string
}

func (e *InterfaceMissingError) Error() string {
	return fmt.Sprintf("interface %q does not exist on this host", e.Name)
}

// VswitchdError says that ovs-vswitchd did not do what was asked for in time:
// it is down or stuck.
type VswitchdError struct {
	Waiting string
	Err     error
}

func (e *VswitchdError) Error() string {
	return fmt.Sprintf("ovs-vswitchd does not answer: waiting for %s: %v", e.Waiting, e.Err)
}

func (e *VswitchdError) Unwrap() error { return e.Err }
