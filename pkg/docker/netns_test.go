// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// hasInterface tells whether an interface is in a namespace.
func hasInterface(t *testing.T, namespace, name string) bool {
	t.Helper()
	ns, err := netns.GetFromPath(testns.Path(namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = h.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); err != nil && !errors.As(err, &missing) {
		t.Fatal(err)
	}
	return err == nil
}
