// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// OffloadFacts is what decides whether a veth's inner end may leave checksums
// and segmentation to the device.
type OffloadFacts struct {
	// Datapath is the bridge's datapath type.
	Datapath string
	// TSO says that the running ovs-vswitchd has userspace TSO on. It reads
	// other_config:userspace-tso-enable once, when it starts, so the database
	// does not tell: what it switched on at the bridge's own device does.
	TSO bool
}

// KeepOffload decides. With the userspace datapath and no TSO, ovs-vswitchd reads
// frames from a veth without their checksum and passes them on like that: TCP
// does not get through at all. Everywhere else offloads are worth a factor of ten.
func KeepOffload(f OffloadFacts) bool {
	return f.Datapath != DatapathNetdev || f.TSO
}

// ethtool commands of linux/ethtool.h that take one value.
const (
	ethtoolGetTxCsum = 0x16
	ethtoolSetTxCsum = 0x17
	ethtoolGetTSO    = 0x1e
)

// ethtool runs one command in the namespace that the thread is in.
func ethtool(ifname string, cmd, value uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("ethtool socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	v := struct{ cmd, data uint32 }{cmd, value}
	var ifr struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifr.name[:unix.IFNAMSIZ-1], ifname)
	ifr.data = unsafe.Pointer(&v)
	var pin runtime.Pinner
	pin.Pin(&v)
	defer pin.Unpin()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); errno != 0 {
		return 0, fmt.Errorf("ethtool command %#x on %s: %w", cmd, ifname, errno)
	}
	return v.data, nil
}

// syncTxOffload switches the transmit checksum offload, and with it everything
// that builds on it, of an interface in ns.
func syncTxOffload(ns, home netns.NsHandle, ifname string, on bool) error {
	var want uint32
	if on {
		want = 1
	}
	return inNetns(ns, home, func() error {
		have, err := ethtool(ifname, ethtoolGetTxCsum, 0)
		if err != nil || (have != 0) == on {
			return err
		}
		_, err = ethtool(ifname, ethtoolSetTxCsum, want)
		return err
	})
}

// vswitchdTSO reads whether ovs-vswitchd runs with userspace TSO from the
// bridge's device; known is false while there is none.
func vswitchdTSO(home netns.NsHandle, bridge string) (on, known bool, err error) {
	err = inNetns(home, home, func() error {
		v, err := ethtool(bridge, ethtoolGetTSO, 0)
		on = v != 0
		return err
	})
	if errors.Is(err, unix.ENODEV) {
		return false, false, nil
	}
	return on, err == nil, err
}
