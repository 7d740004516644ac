// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"maps"
	"time"

	"github.com/vas-solutus/arca-network/pkg/docker"
)

// notes are annotations of the objects that this driver has made.
type notes map[string]string

const notePrefix = docker.AnnotationPrefix

const (
	// noteMaker marks objects of this driver. Others it leaves alone.
	noteMaker = docker.AnnotationMadeBy
	maker     = "plugin"
	// noteDriver is the driver of a network, for who serves Docker's API.
	noteDriver = docker.AnnotationDriver
	// noteEngine is the id of the engine that a network or an endpoint was made for,
	// where it is known.
	noteEngine = notePrefix + "engine"
	// noteSince is when the last step was done.
	noteSince = notePrefix + "since"
	// noteEndpoint is the engine's id of an endpoint; without it an attachment is
	// the reservation of an address. noteNetwork is the engine's id of its network.
	noteEndpoint = docker.AnnotationEndpointID
	noteNetwork  = notePrefix + "network-id"
	// noteName is the engine's name of an endpoint: that of its container.
	noteName = notePrefix + "endpoint-name"
	// noteContainer is the engine's id of the container, where it was told.
	noteContainer = docker.AnnotationContainer
	// noteResolver is who the container shall ask for names.
	noteResolver = notePrefix + "resolver"
	// noteIPv6 says that the engine gives the endpoint its IPv6 address.
	noteIPv6 = notePrefix + "endpoint-ipv6"
	// noteWay is of which families an endpoint with published ports was told that it is
	// its container's way; not there where it is of none.
	noteWay = notePrefix + "way"
	// noteInterface is the name of the interface within the container.
	noteInterface   = notePrefix + "interface"
	noteHostBinding = notePrefix + "host-binding-ipv4"
)

// since is when the last step was done; the zero time where that is not known.
func (n notes) since() time.Time {
	t, err := time.Parse(time.RFC3339Nano, n[noteSince])
	if err != nil {
		return time.Time{}
	}
	return t
}

// with is a copy with more.
func (n notes) with(more notes) notes {
	out := maps.Clone(n)
	if out == nil {
		out = notes{}
	}
	maps.Copy(out, more)
	return out
}
