// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckListen tells what is wrong with an address to listen on, as far as its text
// tells. Whether it is free is found out by Listen.
func CheckListen(where string) error {
	_, err := toListen(where)
	return err
}

// toListen reads an address that can be listened on.
func toListen(where string) (address, error) {
	a, err := parse(where)
	if err != nil {
		return a, err
	}
	switch a.scheme {
	case "unix", "vsock", "tcp", "fd":
		return a, nil
	}
	return a, fmt.Errorf("address %q: %s is for dialling only: must be unix, vsock, tcp or fd", where, a.scheme)
}

// CheckDial tells what is wrong with a target of Dial and its TLS configuration, as far
// as they tell. Whether anybody answers is found out by Dial.
func CheckDial(target string, config *tls.Config) error {
	_, err := toDial(target, config)
	return err
}

// toDial reads an address that can be dialled.
func toDial(target string, config *tls.Config) (address, error) {
	a, err := parse(target)
	if err != nil {
		return a, err
	}
	switch {
	case a.scheme == "fd":
		err = errors.New("fd is for listening only: must be unix, vsock, tcp, firecracker, cloud-hypervisor, vfkit or krunkit")
	case a.scheme == "vsock" && a.cid == unix.VMADDR_CID_ANY:
		err = errors.New("no CID is given: must be vsock://CID:PORT")
	case a.scheme == "tcp" && a.port == 0:
		err = errors.New("port 0 is any, to listen on: must be a number from 1 to 65535")
	case a.scheme == "tcp" && config == nil:
		err = errors.New("TCP needs a client certificate, its key and the server's authority")
	}
	if err != nil {
		return a, fmt.Errorf("address %q: %w", target, err)
	}
	return a, nil
}
