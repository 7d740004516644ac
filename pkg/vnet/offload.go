// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"fmt"
	"runtime"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netns"
)

// disableOffloads turns transmit checksumming, and with it segmentation, of an
// interface off. ethtool's ioctl works on the namespace of its thread, so this
// one is given up afterwards.
func disableOffloads(ns int, name string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- func() error {
			if err := netns.Set(netns.NsHandle(ns)); err != nil {
				return fmt.Errorf("entering the namespace: %w", err)
			}
			e, err := ethtool.NewEthtool()
			if err != nil {
				return err
			}
			defer e.Close()
			return e.Change(name, map[string]bool{"tx-checksum-ip-generic": false})
		}()
	}()
	return <-done
}
