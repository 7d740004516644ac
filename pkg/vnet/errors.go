// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import "fmt"

// NetnsError says that a path is no network namespace, now. An event follows
// when it is one.
type NetnsError struct {
	Path string
	Err  error
}

func (e *NetnsError) Error() string {
	return fmt.Sprintf("no network namespace at %s: %v", e.Path, e.Err)
}

func (e *NetnsError) Unwrap() error { return e.Err }

// ConflictError says that an interface or OVS port of the name is there and is
// not ours. It is left alone.
type ConflictError struct{ Name, Where string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s has an interface %s that is not ours", e.Where, e.Name)
}

// InterfaceMissingError says that an External interface is not there, now. An
// event follows when it is.
type InterfaceMissingError struct{ Name string }

func (e *InterfaceMissingError) Error() string {
	return fmt.Sprintf("the host has no interface %s", e.Name)
}
