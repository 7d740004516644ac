// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// docker compares what users of Docker wait for, with networks of ours through
// arcad and with the same engine's own bridge driver.
func docker(w *dockerWorld) (results []result, err error) {
	for _, measure := range []func(*dockerWorld) ([]result, error){networkCreate, networkConnect, dockerRun} {
		r, err := measure(w)
		if err != nil {
			return nil, err
		}
		results = append(results, r...)
	}
	return results, nil
}

// name is that of a network or a container of the side: both are on one host.
func (s *side) name(of string) string { return "bench-" + of + "-" + s.way }

func networkCreate(w *dockerWorld) ([]result, error) {
	return w.each("docker: network create", *samples, func(s *side, _ int) (float64, error) {
		name := s.name("created")
		ms, err := milliseconds(func() error { return s.makeNetwork(name, client.NetworkCreateOptions{}) })
		if err != nil {
			return 0, err
		}
		return ms, s.removeNetwork(name)
	})
}

func (s *side) makeNetwork(name string, o client.NetworkCreateOptions) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.NetworkCreate(ctx, name, o)
	return err
}

func (s *side) removeNetwork(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	return err
}

// runForever starts a container on networks.
func (s *side) runForever(name string, on ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	endpoints := map[string]*network.EndpointSettings{}
	for _, n := range on {
		endpoints[n] = &network.EndpointSettings{}
	}
	if _, err := s.client.ContainerCreate(ctx, client.ContainerCreateOptions{Name: name, Image: dockertest.Image,
		Config:           &container.Config{Cmd: []string{"sleep", "100000"}},
		HostConfig:       &container.HostConfig{NetworkMode: container.NetworkMode(on[0])},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: endpoints}}); err != nil {
		return err
	}
	_, err := s.client.ContainerStart(ctx, name, client.ContainerStartOptions{})
	return err
}

func (s *side) removeContainer(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true})
	return err
}

func (s *side) connect(container, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.NetworkConnect(ctx, to, client.NetworkConnectOptions{Container: container, EndpointConfig: &network.EndpointSettings{}})
	return err
}

func (s *side) disconnect(container, from string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.NetworkDisconnect(ctx, from, client.NetworkDisconnectOptions{Container: container})
	return err
}

// networkConnect connects a running container to a second network.
func networkConnect(w *dockerWorld) (results []result, err error) {
	defer func() {
		for _, s := range w.sides {
			err = errors.Join(err, s.removeContainer(s.name("connected")))
		}
	}()
	for _, s := range w.sides {
		for _, of := range []string{"first", "second"} {
			if err := s.makeNetwork(s.name(of), client.NetworkCreateOptions{}); err != nil {
				return nil, err
			}
		}
		if err := s.runForever(s.name("connected"), s.name("first")); err != nil {
			return nil, err
		}
	}
	return w.each("docker: network connect, a running container", *samples, func(s *side, _ int) (float64, error) {
		ms, err := milliseconds(func() error { return s.connect(s.name("connected"), s.name("second")) })
		if err != nil {
			return 0, err
		}
		return ms, s.disconnect(s.name("connected"), s.name("second"))
	})
}

// dockerRun runs the docker command, as a person does.
func dockerRun(w *dockerWorld) ([]result, error) {
	for _, s := range w.sides {
		if err := s.makeNetwork(s.name("run"), client.NetworkCreateOptions{}); err != nil {
			return nil, err
		}
	}
	return w.each("docker run --rm true, the command", *samples, func(s *side, _ int) (float64, error) {
		return milliseconds(func() error {
			out, err := w.engine.DockerAt(context.Background(), s.host, "run", "--rm", "--network", s.name("run"), dockertest.Image, "true")
			if err == nil && out != "" {
				err = fmt.Errorf("docker run said %s", out)
			}
			return err
		})
	})
}
