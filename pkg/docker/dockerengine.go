// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// DockerEngine is a Docker Engine, or what speaks its API.
type DockerEngine struct{ client *client.Client }

// DialDocker returns the engine at an address, as unix:///var/run/docker.sock. It
// does not connect yet.
func DialDocker(host string) (*DockerEngine, error) {
	c, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, err
	}
	return &DockerEngine{client: c}, nil
}

// Container asks the engine for a container.
func (d *DockerEngine) Container(ctx context.Context, nameOrID string) (Container, error) {
	r, err := d.client.ContainerInspect(ctx, nameOrID, client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err), strings.TrimSpace(nameOrID) == "":
		return Container{}, ErrNoSuchContainer
	case err != nil:
		return Container{}, fmt.Errorf("asking the engine for container %s: %w", nameOrID, err)
	}
	c := Container{ID: r.Container.ID, Name: strings.TrimPrefix(r.Container.Name, "/")}
	if r.Container.Config != nil {
		c.Hostname = r.Container.Config.Hostname
	}
	if r.Container.HostConfig != nil {
		c.NetworkMode = string(r.Container.HostConfig.NetworkMode)
	}
	if s := r.Container.State; s != nil && s.Running && s.Pid > 0 {
		c.Running, c.Netns = true, "/proc/"+strconv.Itoa(s.Pid)+"/ns/net"
	}
	if n := r.Container.NetworkSettings; n != nil {
		if c.Running && n.SandboxKey != "" {
			c.Netns = n.SandboxKey
		}
		// The engine calls its own eth0, eth1, …
		for i := range len(n.Networks) {
			c.Interfaces = append(c.Interfaces, "eth"+strconv.Itoa(i))
		}
	}
	return c, nil
}

// Endpoints asks the engine for the endpoints on one of its own networks.
func (d *DockerEngine) Endpoints(ctx context.Context, name string) (map[string]network.EndpointResource, error) {
	r, err := d.client.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking the engine for the containers on network %s: %w", name, err)
	}
	return r.Network.Containers, nil
}

// Close ends the connections to the engine.
func (d *DockerEngine) Close() error { return d.client.Close() }
