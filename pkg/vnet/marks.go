// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import "strings"

// Keys of external_ids that this package writes. All others are left alone.
const (
	keyOwnerKind = "arca-owner-kind"
	keyOwnerName = "arca-owner-name"
	keyOwnerUID  = "arca-owner-uid"
	// keyIfindex is the device that the Interface row was made for: when a
	// device is made anew under the same name, ovs-vswitchd with the userspace
	// datapath keeps reading the dead one until the port is taken out and put
	// back (seen on 3.5.0: 100 % loss for ever).
	keyIfindex = "arca-ifindex"
	// keyTxOffload is "off" where this package turned the inner end's offload off.
	keyTxOffload = "arca-tx-offload"
	// keyEpoch in Open_vSwitch.external_ids names one life of the database.
	keyEpoch = "arca-epoch"

	keyIfaceID      = "iface-id"
	keyChassis      = "system-id" // in Open_vSwitch.external_ids, of whoever runs the daemons
	keyAttachedMAC  = "attached-mac"
	keyOVNInstalled = "ovn-installed"
)

const (
	aliasPrefix = "arca:"
	maxAliasLen = 255
	// originProto marks addresses (IFA_PROTO, Linux 5.18) and routes of ours
	// within a namespace, where others may add their own.
	originProto = 172
)

// LinkGroup is the interface group of the veths and taps on the host. It marks a
// veth from the moment it exists: the kernel takes a group when it makes a link,
// but an alias only afterwards, so a link with this group and no alias is one
// whose maker died in between.
const LinkGroup = 0x61726361

// linkAlias is the owner mark of a link (ifalias).
func linkAlias(o Owner) string { return aliasPrefix + o.Kind + "/" + o.UID }

// parseLinkAlias is the inverse of linkAlias; the owner's name is not in it.
func parseLinkAlias(alias string) (Owner, bool) {
	rest, ok := strings.CutPrefix(alias, aliasPrefix)
	if !ok {
		return Owner{}, false
	}
	kind, uid, ok := strings.Cut(rest, "/")
	if !ok || kind == "" || uid == "" {
		return Owner{}, false
	}
	return Owner{Kind: kind, UID: uid}, true
}

func ownerOfIDs(ids map[string]string) Owner {
	return Owner{Kind: ids[keyOwnerKind], Name: ids[keyOwnerName], UID: ids[keyOwnerUID]}
}
