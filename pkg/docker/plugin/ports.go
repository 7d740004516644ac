// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

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

// families are some of IPv4 and IPv6.
type families struct{ ipv4, ipv6 bool }

func (f families) has(a netip.Addr) bool { return a.Is4() && f.ipv4 || a.Is6() && f.ipv6 }

// note is how an annotation tells them.
func (f families) note() string {
	var out []string
	if f.ipv4 {
		out = append(out, family(false))
	}
	if f.ipv6 {
		out = append(out, family(true))
	}
	return strings.Join(out, " ")
}

// way is of which families an endpoint publishes its container's ports; none where
// it publishes nothing.
func (a attachment) way() (f families) {
	if note, told := a.notes[noteWay]; told {
		return families{strings.Contains(note, family(false)), strings.Contains(note, family(true))}
	}
	for _, p := range a.GetPorts() { // of a version that did not note it
		at, err := netip.ParseAddr(p.GetHostIp())
		f.ipv4 = f.ipv4 || err != nil || at.Is4()
		f.ipv6 = f.ipv6 || err != nil || at.Is6()
	}
	return f
}

func asksForPorts(options map[string]any) bool {
	list, _ := options[optionPortMap].([]any)
	return len(list) > 0
}

// ofFamilies are the bindings at the host's addresses of some families, for an
// endpoint that has addresses of its own of some.
func ofFamilies(bindings []binding, way, has families) (out []binding) {
	for _, b := range bindings {
		at, err := netip.ParseAddr(b.port.GetHostIp())
		switch {
		case err == nil && !way.has(at):
			continue
		case err == nil || way == has || has != families{true, true}:
		case way.ipv4:
			b.port.HostIp = netip.IPv4Unspecified().String()
		default:
			b.port.HostIp = netip.IPv6Unspecified().String()
		}
		out = append(out, b)
	}
	return out
}

// reaches refuses bindings at addresses of the host of a family that the endpoint has
// no address of. An engine's own driver would relay them to the other family.
func (n network) reaches(bindings []binding, has families) error {
	for _, b := range bindings {
		at, err := netip.ParseAddr(b.port.GetHostIp())
		if at = at.Unmap(); err != nil || has.has(at) {
			continue
		}
		return fmt.Errorf("port %s cannot be published at host address %q: network %s has no %s subnet; name an %s address of the host, or none",
			portOf(b.port), b.port.GetHostIp(), n.label, family(at.Is6()), family(!at.Is6()))
	}
	return nil
}

// portOf is a container's port as Docker writes it: 80/tcp.
func portOf(p *controlpb.PublishedPort) string {
	return fmt.Sprintf("%d/%s", p.GetContainerPort(), p.GetProtocol())
}

// families are those of an attachment's addresses.
func (a attachment) families() (f families) {
	for _, address := range a.addresses() {
		f.ipv4, f.ipv6 = f.ipv4 || address.Is4(), f.ipv6 || address.Is6()
	}
	return f
}

// keep begins each binding at the host's port that it has already.
func keep(bindings []binding, ports []*controlpb.PublishedPort) {
	left := slices.Clone(ports)
	for i := range bindings {
		b := &bindings[i]
		at := slices.IndexFunc(left, func(p *controlpb.PublishedPort) bool {
			return p.GetProtocol() == b.port.GetProtocol() && p.GetContainerPort() == b.port.GetContainerPort() &&
				(p.GetHostIp() == b.port.GetHostIp() || anyHostIP(p) && anyHostIP(b.port)) &&
				p.GetHostPort() >= b.first && p.GetHostPort() < b.first+b.span
		})
		if at >= 0 {
			b.turn = left[at].GetHostPort() - b.first
			left = slices.Delete(left, at, at+1)
		}
	}
}

// anyHostIP tells whether a port is published at all addresses, if only of one family.
func anyHostIP(p *controlpb.PublishedPort) bool {
	at, err := netip.ParseAddr(p.GetHostIp())
	return err != nil || at.IsUnspecified()
}

// publish publishes the ports of an endpoint, of the families that it is the way of.
func (p *Plugin) publish(ctx context.Context, n network, a attachment, way families, options map[string]any) error {
	bindings, err := bindingsOf(options, n.hostBinding, a.notes[noteEndpoint])
	if err != nil {
		return err
	}
	if len(bindings) == 0 && len(a.GetPorts()) == 0 {
		return nil
	}
	has := a.families()
	bindings = ofFamilies(bindings, way, has)
	if err := n.reaches(bindings, has); err != nil {
		return err
	}
	keep(bindings, a.GetPorts())
	for {
		ports := &controlpb.PublishedPorts{}
		for _, b := range bindings {
			ports.Ports = append(ports.Ports, b.candidate())
		}
		err := p.setPorts(ctx, a, families{way.ipv4 && has.ipv4, way.ipv6 && has.ipv6}, ports)
		if err == nil {
			return nil
		}
		if reasonOf(err) != reasonPortInUse || !next(bindings, messageOf(err)) {
			return plain(err)
		}
	}
}

func (p *Plugin) setPorts(ctx context.Context, a attachment, way families, ports *controlpb.PublishedPorts) error {
	defer p.locks.lock(a.place())()
	if len(ports.GetPorts()) > 0 {
		p.removals.await(ctx, "")
	}
	_, err := p.control.UpdateContainer(ctx, &controlpb.UpdateContainerRequest{
		ContainerId: a.GetContainerId(), NetworkId: a.GetNetworkId(), Ports: ports, Annotations: notes{noteWay: way.note()},
	})
	return err
}

// unpublish takes published ports back.
func (p *Plugin) unpublish(ctx context.Context, a attachment) error {
	if len(a.GetPorts()) == 0 && a.notes[noteWay] == "" {
		return nil
	}
	if err := p.setPorts(ctx, a, families{}, &controlpb.PublishedPorts{}); err != nil {
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
