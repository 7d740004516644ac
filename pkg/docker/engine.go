// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"

	"github.com/moby/moby/api/types/network"
)

// Engine knows containers.
type Engine interface {
	// Container finds a container by its id, a unique beginning of it, or its
	// name. One that does not exist is ErrNoSuchContainer.
	Container(ctx context.Context, nameOrID string) (Container, error)
	// Endpoints are those on a network that is the engine's own, host or none, by
	// their containers' ids.
	Endpoints(ctx context.Context, on string) (map[string]network.EndpointResource, error)
}

// ErrNoSuchContainer is what an Engine says of a container that it does not have.
var ErrNoSuchContainer = errors.New("no such container")

// Container is what connecting needs to know of a container.
type Container struct {
	ID   string
	Name string // without a slash
	// Hostname is a name that it answers to beside its own.
	Hostname string
	Running  bool
	// Netns is the path of its network namespace while it runs.
	Netns string
	// NetworkMode is the HostConfig's: host, none, container:ID or a network.
	NetworkMode string
	// Interfaces are names in its namespace that are taken.
	Interfaces []string
}
