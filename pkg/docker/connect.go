// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/network"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

func (s *Server) container(ctx context.Context, name string) (Container, error) {
	if name == "" {
		return Container{}, badRequest("invalid name or ID supplied: %q", name)
	}
	if s.engine == nil {
		return Container{}, containerError(ErrNoSuchContainer, name)
	}
	c, err := s.engine.Container(ctx, name)
	return c, containerError(err, name)
}

func (s *Server) connect(ctx context.Context, w http.ResponseWriter, r *call) error {
	var request network.ConnectRequest
	if err := readJSON(w, r.Request, &request); err != nil {
		return err
	}
	e := request.EndpointConfig
	if e == nil {
		e = &network.EndpointSettings{}
	}
	if olderThan(r.version, "1.54") {
		e.MacAddress = nil
	}
	c, err := s.container(ctx, request.Container)
	if err != nil {
		return err
	}
	if !c.Running {
		// Where its namespace will be is not known before it starts.
		return errorf(http.StatusConflict, "container %s is not running", c.ID)
	}
	if strings.HasPrefix(c.NetworkMode, "container:") || c.NetworkMode == network.NetworkHost {
		return badRequest("container sharing network namespace with another container or host cannot be connected to any other network")
	}
	n, err := s.find(ctx, r.id, "on")
	if err != nil {
		return err
	}
	if err := checkEndpoint(n, e); err != nil {
		return err
	}
	switch {
	case n.Driver == "host":
		return badRequest("cannot connect container to host network - container must be created in host network mode")
	case n.info == nil:
		return badRequest("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	case n.ConfigOnly:
		return forbidden("cannot create endpoint on configuration-only network")
	}
	// Two endpoints of one container do not choose one interface.
	unlock, err := s.names.lock(ctx, "container/"+c.ID)
	if err != nil {
		return err
	}
	defer unlock()
	has, err := s.attachments(ctx, "", c.ID)
	if err != nil {
		return err
	}
	taken := c.Interfaces
	for _, a := range has {
		if a.GetNetworkId() == n.info.GetNetworkId() {
			return endpointExists(c.Name, n)
		}
		taken = append(taken, a.GetInterface().GetName())
	}
	ifname := e.DriverOpts[optionIfname]
	if ifname == "" {
		ifname = freeInterface(taken)
	}
	facts := EndpointFacts{ID: newID(), IPAMConfig: e.IPAMConfig, Links: e.Links, Aliases: e.Aliases, DriverOpts: e.DriverOpts, GwPriority: e.GwPriority}
	if _, err := s.control.AttachContainer(ctx, attachmentRequest(n, c, e, facts, ifname)); err != nil {
		if code := status.Code(err); code == codes.DeadlineExceeded || code == codes.Canceled || code == codes.Unavailable {
			s.detachAnyway(ctx, n, c.ID)
		}
		return attachError(err, n, c.Name)
	}
	s.events.awaitEndpoint(ctx, facts.ID, true)
	w.WriteHeader(http.StatusOK)
	return nil
}

// detachAnyway takes back an attachment that could not be made.
func (s *Server) detachAnyway(ctx context.Context, n *dockerNetwork, container string) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer done()
	_, err := s.control.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: container, NetworkId: n.info.GetNetworkId()})
	if err != nil {
		s.log.Error(err, "Taking back an attachment that could not be made", "network", n.Name, "container", container)
	}
}

func (s *Server) disconnect(ctx context.Context, w http.ResponseWriter, r *call) error {
	var request network.DisconnectRequest
	if err := readJSON(w, r.Request, &request); err != nil {
		return err
	}
	c, err := s.container(ctx, request.Container)
	known := err == nil
	if code, _ := statusOf(err); !known && (code != http.StatusNotFound || !request.Force) {
		return err
	}
	n, err := s.find(ctx, r.id, "on")
	if err != nil {
		return err
	}
	if n.info == nil {
		if n.Driver == "host" && c.NetworkMode == network.NetworkHost {
			return badRequest("cannot disconnect container from host network - container was created in host network mode")
		}
		return errorf(http.StatusInternalServerError, "container %s is not connected to network %s", c.ID, n.Name)
	}
	a, err := s.endpoint(ctx, n, c.ID, or(c.Name, request.Container))
	switch {
	case err != nil:
		return err
	case a == nil && !known:
		return errorf(http.StatusNotFound, "endpoint %s not found", request.Container)
	case a == nil && !c.Running:
		return errorf(http.StatusInternalServerError, "container %s is not connected to the network %s", c.ID, n.Name)
	case a == nil:
		return errorf(http.StatusInternalServerError, "container %s is not connected to network %s", c.ID, n.Name)
	}
	if _, err := s.control.DetachContainer(ctx, &controlpb.DetachContainerRequest{ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId()}); err != nil {
		return err
	}
	s.events.awaitEndpoint(ctx, EndpointID(a), false)
	w.WriteHeader(http.StatusOK)
	return nil
}

// endpoint is a container's on a network: by its id, or where the engine does not
// know it any more, by its name.
func (s *Server) endpoint(ctx context.Context, n *dockerNetwork, id, name string) (*controlpb.ContainerNetwork, error) {
	on, err := s.attachments(ctx, n.info.GetNetworkId(), "")
	if err != nil {
		return nil, err
	}
	for _, a := range on {
		if id != "" && a.GetContainerId() == id || id == "" && (endpointName(a) == name || a.GetContainerId() == name) {
			return a, nil
		}
	}
	return nil, nil
}
