// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
)

// FieldError says that a value of a subnet's description is not allowed.
type FieldError struct {
	// Field is the name of the field of Subnet, Value what it holds, and
	// Allowed what it may hold.
	Field, Value, Allowed string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Field, e.Value, e.Allowed)
}

// TakenError says that somebody else holds an address.
type TakenError struct {
	Addr   netip.Addr
	Holder string
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s is held by %s", e.Addr, e.Holder)
}

// UnusableError says why an address can never be held.
type UnusableError struct {
	Addr netip.Addr
	CIDR netip.Prefix
	// Why is one of "outside", "network", "broadcast", "gateway", "reserved".
	Why string
}

func (e *UnusableError) Error() string {
	switch e.Why {
	case "outside":
		return fmt.Sprintf("%s is not in %s", e.Addr, e.CIDR)
	case "reserved":
		return fmt.Sprintf("%s is reserved in %s", e.Addr, e.CIDR)
	}
	return fmt.Sprintf("%s is the %s address of %s", e.Addr, e.Why, e.CIDR)
}

// ExhaustedError says that every address is held.
type ExhaustedError struct {
	// Range is where addresses are allocated from.
	Range netip.Prefix
	// Held is the number of addresses of Range that are held: all of them but
	// the network's own and the reserved ones.
	Held int
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("no address is free in %s, %d are held", e.Range, e.Held)
}
