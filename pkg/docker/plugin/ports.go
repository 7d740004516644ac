// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// portBinding is a port that the engine wants published.
type portBinding struct {
	Proto                 int
	Port                  int32
	HostIP                string
	HostPort, HostPortEnd int32
}

// Ports that are chosen where none is said: Linux' own range for connections that
// begin here.
const (
	firstChosen = 32768
	lastChosen  = 60999
	// maxPortTries bounds how many ports are tried where none is said. Of a range
	// that is named all are.
	maxPortTries = 64
)

// binding is a port to publish at one of a range of the host's ports.
type binding struct {
	port        *controlpb.PublishedPort
	first, span int32
	// turn is the next of the range that is tried, left is how many more may be.
	turn, left int32
}

// candidate is the port as it is tried now.
func (b binding) candidate() *controlpb.PublishedPort {
	return &controlpb.PublishedPort{
		HostIp: b.port.GetHostIp(), ContainerPort: b.port.GetContainerPort(), Protocol: b.port.GetProtocol(),
		HostPort: b.first + b.turn%b.span,
	}
}

var protocols = map[int]string{6: "tcp", 17: "udp", 132: "sctp"}

// bindingsOf reads what is to be published. seed makes endpoints begin at
// different ports, and each at the same one again.
func bindingsOf(options map[string]any, hostBinding, seed string) ([]binding, error) {
	var asked []portBinding
	if err := read(options, optionPortMap, &asked); err != nil {
		return nil, err
	}
	var out []binding
	for i, a := range asked {
		protocol, ok := protocols[a.Proto]
		if !ok {
			return nil, fmt.Errorf("port %d: protocol %d cannot be published; tcp, udp and sctp can", a.Port, a.Proto)
		}
		b := binding{port: &controlpb.PublishedPort{HostIp: a.HostIP, ContainerPort: a.Port, Protocol: protocol}}
		if b.port.HostIp == "" {
			b.port.HostIp = hostBinding
		}
		switch {
		case a.HostPort == 0:
			b.first, b.span = firstChosen, lastChosen-firstChosen+1
			h := fnv.New32a()
			_, _ = fmt.Fprint(h, seed, i)
			b.turn = int32(h.Sum32() % uint32(b.span))
			b.left = maxPortTries - 1
		case a.HostPortEnd > a.HostPort:
			b.first, b.span = a.HostPort, a.HostPortEnd-a.HostPort+1
			b.left = b.span - 1
		default:
			b.first, b.span = a.HostPort, 1
		}
		out = append(out, b)
	}
	return out, nil
}

// refusedPort finds the index of the port in a message that begins with its field.
var refusedPort = regexp.MustCompile(`^ports\[(\d+)\]`)

// next moves on the binding that was refused, and tells whether there is another
// port to try.
func next(bindings []binding, message string) bool {
	m := refusedPort.FindStringSubmatch(message)
	if m == nil {
		return false
	}
	i, err := strconv.Atoi(m[1])
	if err != nil || i >= len(bindings) || bindings[i].left == 0 {
		return false
	}
	bindings[i].turn++
	bindings[i].left--
	return true
}

// publish publishes the ports of an endpoint.
func (p *Plugin) publish(ctx context.Context, n network, a attachment, options map[string]any) error {
	bindings, err := bindingsOf(options, n.notes[noteHostBinding], a.notes[noteEndpoint])
	if err != nil {
		return err
	}
	if len(bindings) == 0 && len(a.GetPorts()) == 0 {
		return nil
	}
	for {
		ports := &controlpb.PublishedPorts{}
		for _, b := range bindings {
			ports.Ports = append(ports.Ports, b.candidate())
		}
		err := p.setPorts(ctx, a, ports)
		if err == nil {
			return nil
		}
		if reasonOf(err) != reasonPortInUse || !next(bindings, messageOf(err)) {
			return plain(err)
		}
	}
}

func (p *Plugin) setPorts(ctx context.Context, a attachment, ports *controlpb.PublishedPorts) error {
	defer p.locks.lock(a.place())()
	if len(ports.GetPorts()) > 0 {
		p.removals.await(ctx, "")
	}
	_, err := p.control.UpdateContainer(ctx, &controlpb.UpdateContainerRequest{
		ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId(), Ports: ports,
	})
	return err
}

// unpublish takes published ports back.
func (p *Plugin) unpublish(ctx context.Context, a attachment) error {
	if len(a.GetPorts()) == 0 {
		return nil
	}
	if err := p.setPorts(ctx, a, &controlpb.PublishedPorts{}); err != nil {
		return errors.New("taking published ports back: " + plain(err).Error())
	}
	return nil
}

// endpointInfo tells which ports are published.
func (p *Plugin) endpointInfo(ctx context.Context, r endpointRequest) (endpointInfoResponse, error) {
	a, found, err := p.endpoint(ctx, r.NetworkID, r.EndpointID)
	if err != nil {
		return endpointInfoResponse{}, err
	}
	if !found {
		return endpointInfoResponse{}, fmt.Errorf("endpoint %s not found", r.EndpointID)
	}
	numbers := map[string]int{}
	for number, name := range protocols {
		numbers[name] = number
	}
	ports := []portBinding{}
	for _, b := range a.GetPorts() {
		ports = append(ports, portBinding{
			Proto: numbers[b.GetProtocol()], Port: b.GetContainerPort(), HostIP: b.GetHostIp(), HostPort: b.GetHostPort(), HostPortEnd: b.GetHostPort(),
		})
	}
	return endpointInfoResponse{Value: map[string]any{optionPortMap: ports, optionMAC: a.GetMacAddress()}}, nil
}
