// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/containernetworking/cni/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// networkLabel says which network configuration, by its name, has made an
// attachment: DEL and GC touch no others.
const networkLabel = "cni.network.arca.dev/network"

// longestID leaves room for the network's id in the name of the object, and is
// what spec.container.id allows.
const longestID = 128

// An attachment is a container and an interface to CNI, but a container and a
// network to the control API, where a container is on a network once. All
// interfaces of a container should have one container_id, for who is one
// container sees the names of all its networks. So the container's own id is
// used for its first interface on a network, and one of both, the container and
// the interface, for a further interface on the same network. Which of the two
// an attachment has is not remembered: both are looked at, and the one whose
// interface has the name is meant (find).

// containerID is a container's id in the control API: its own, where that may
// be one.
func containerID(container string) string {
	if len(container) <= longestID && len(validation.IsDNS1123Subdomain(container)) == 0 {
		return container
	}
	return hashed("container", container)
}

// furtherID is the id for a further interface of a container on one network.
func furtherID(container, ifname string) string { return hashed("interface", container, ifname) }

// candidates are the ids that an interface of a container can have.
func candidates(container, ifname string) []string {
	return []string{containerID(container), furtherID(container, ifname)}
}

// hashed is an id that stands for words. Words cannot be confused with others,
// for CNI lets no zero byte be in them.
func hashed(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		h.Write([]byte(w))
		h.Write([]byte{0})
	}
	return "cni-" + hex.EncodeToString(h.Sum(nil))[:40]
}

// labelOf is the value of networkLabel.
func labelOf(name string) string {
	if len(validation.IsValidLabelValue(name)) == 0 {
		return name
	}
	return hashed("network", name)
}

// find picks the attachments that a network configuration has made for an
// interface, of those that the candidates have.
func find(of []*controlpb.ContainerNetwork, name, ifname string) (out []*controlpb.ContainerNetwork) {
	for _, n := range of {
		if n.GetLabels()[networkLabel] == labelOf(name) && n.GetInterface().GetName() == ifname {
			out = append(out, n)
		}
	}
	return out
}

// idFor is the container_id of an interface on a network: that of the
// attachment that it has already, or the first that is free there.
func idFor(of []*controlpb.ContainerNetwork, name, container, ifname, network string) string {
	for _, n := range find(of, name, ifname) {
		if n.GetNetworkId() == network && !n.GetDeleting() {
			return n.GetContainerId()
		}
	}
	own := containerID(container)
	for _, n := range of {
		if n.GetNetworkId() == network && n.GetContainerId() == own && n.GetInterface().GetName() != ifname {
			return furtherID(container, ifname)
		}
	}
	return own
}

// stale picks the attachments that a network configuration has made for
// interfaces which are no longer valid.
func stale(all []*controlpb.ContainerNetwork, name string, valid []types.GCAttachment) (out []*controlpb.ContainerNetwork) {
	type key struct{ id, ifname string }
	keep := map[key]bool{}
	for _, v := range valid {
		for _, id := range candidates(v.ContainerID, v.IfName) {
			keep[key{id, v.IfName}] = true
		}
	}
	for _, n := range all {
		if n.GetLabels()[networkLabel] == labelOf(name) && !keep[key{n.GetContainerId(), n.GetInterface().GetName()}] {
			out = append(out, n)
		}
	}
	return out
}
