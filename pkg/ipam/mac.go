// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
)

// MACTable knows who holds which MAC address of one network.
type MACTable struct {
	byMAC    map[[6]byte]string
	byHolder map[string][6]byte
}

// NewMACTable returns an empty table.
func NewMACTable() *MACTable {
	return &MACTable{byMAC: map[[6]byte]string{}, byHolder: map[string][6]byte{}}
}

// MACFor derives a locally administered unicast address, 02 and five bytes of
// a hash, from a UID. A further attempt gives another.
func MACFor(uid string, attempt int) net.HardwareAddr {
	seed := uid
	if attempt > 0 {
		seed = fmt.Sprintf("%s/%d", uid, attempt)
	}
	sum := sha256.Sum256([]byte(seed))
	return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// Claim gives a certain address to a holder, which gives up the one that it has.
func (t *MACTable) Claim(holder string, mac net.HardwareAddr) error {
	switch {
	case len(mac) != 6:
		return fmt.Errorf("%s is not an address of 6 bytes", mac)
	case mac[0]&1 != 0:
		return fmt.Errorf("%s is a multicast address", mac)
	case bytes.Equal(mac, make([]byte, 6)):
		return fmt.Errorf("%s is no address", mac)
	}
	key := [6]byte(mac)
	if other, held := t.byMAC[key]; held && other != holder {
		return fmt.Errorf("%s is held by %s", mac, other)
	}
	t.Release(holder)
	t.byMAC[key], t.byHolder[holder] = holder, key
	return nil
}

// Allocate gives a holder the address that it has, or one derived from its UID.
func (t *MACTable) Allocate(holder, uid string) net.HardwareAddr {
	if key, ok := t.byHolder[holder]; ok {
		return key[:]
	}
	for attempt := 0; ; attempt++ {
		mac := MACFor(uid, attempt)
		if t.Claim(holder, mac) == nil {
			return mac
		}
	}
}

// Release takes a holder's address back. None is no error.
func (t *MACTable) Release(holder string) {
	if key, ok := t.byHolder[holder]; ok {
		delete(t.byHolder, holder)
		delete(t.byMAC, key)
	}
}

// Holder tells who holds an address.
func (t *MACTable) Holder(mac net.HardwareAddr) (string, bool) {
	if len(mac) != 6 {
		return "", false
	}
	holder, ok := t.byMAC[[6]byte(mac)]
	return holder, ok
}
