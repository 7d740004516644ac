// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// mustAgree waits for no longer than a late event takes.
func (w *world) mustAgree() {
	w.Helper()
	began := time.Now()
	w.eventually(w.agree)
	if took := time.Since(began); took > 5*time.Second {
		w.Logf("they agree after %s", took.Round(time.Second))
	}
}

// agree tells where the engine, the objects, OVN and the host differ.
func (w *world) agree() error {
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	engine, err := w.ofEngine(ctx)
	if err != nil {
		return err
	}
	list, err := w.attachments(ctx)
	if err != nil {
		return err
	}
	if objects := ofObjects(list); !slices.Equal(engine, objects) {
		return fmt.Errorf("the engine has endpoints %v, the objects %v", engine, objects)
	}
	for _, agrees := range []func(context.Context, []*controlpb.ContainerNetwork) error{w.logicalPorts, w.interfaces, w.publishedPorts} {
		if err := agrees(ctx, list); err != nil {
			return err
		}
	}
	if w.fronted {
		return w.frontAgrees(ctx, engine)
	}
	return w.networksAgree(ctx)
}

// endpoint is what is said of an endpoint: by the engine, by arcad and by its object.
type endpoint struct{ id, address, mac string }

func byID(a, b endpoint) int { return strings.Compare(a.id+a.mac, b.id+b.mac) }

// endpointsAt are those of some networks, as `docker network inspect` shows them.
func (w *world) endpointsAt(ctx context.Context, host string, networks ...string) ([]endpoint, error) {
	if len(networks) == 0 {
		return nil, nil
	}
	raw, err := w.engine.DockerAt(ctx, host, append([]string{"network", "inspect"}, networks...)...)
	if err != nil {
		return nil, err
	}
	var inspected []struct {
		Containers map[string]struct{ EndpointID, MacAddress, IPv4Address string }
	}
	if err := json.Unmarshal([]byte(raw), &inspected); err != nil {
		return nil, err
	}
	var out []endpoint
	for _, n := range inspected {
		for _, c := range n.Containers {
			out = append(out, endpoint{c.EndpointID, c.IPv4Address, c.MacAddress})
		}
	}
	slices.SortFunc(out, byID)
	return out, nil
}

// ofEngine are the endpoints that the engine has.
func (w *world) ofEngine(ctx context.Context) ([]endpoint, error) {
	list, err := w.engine.DockerAt(ctx, w.engine.Host, "network", "ls", "-q", "--no-trunc", "--filter", "driver=arca")
	if err != nil {
		return nil, err
	}
	return w.endpointsAt(ctx, w.engine.Host, strings.Fields(list)...)
}

// attachments are all objects.
func (w *world) attachments(ctx context.Context) (out []*controlpb.ContainerNetwork, err error) {
	networks, err := w.client.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return nil, err
	}
	for _, n := range networks.GetBridges() {
		list, err := w.client.GetContainerNetworks(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: n.GetNetworkId()})
		if err != nil {
			return nil, err
		}
		out = append(out, list.GetNetworks()...)
	}
	return out, nil
}

func ofObjects(list []*controlpb.ContainerNetwork) []endpoint {
	var out []endpoint
	for _, a := range list {
		e := endpoint{id: a.GetAnnotations()[docker.AnnotationEndpointID], mac: a.GetMacAddress()}
		for _, s := range a.GetAddresses() {
			if !strings.Contains(s, ":") {
				e.address = s
			}
		}
		out = append(out, e)
	}
	slices.SortFunc(out, byID)
	return out
}

// logicalPorts compares OVN's ports and their addresses with the objects'.
func (w *world) logicalPorts(ctx context.Context, list []*controlpb.ContainerNetwork) error {
	want := map[string]string{}
	for _, a := range list {
		addresses := []string{a.GetMacAddress()}
		for _, s := range a.GetAddresses() {
			address, _, _ := strings.Cut(s, "/")
			addresses = append(addresses, address)
		}
		want[topology.PortName(types.UID(a.GetUid()))] = strings.Join(addresses, " ")
	}
	have, err := w.rows(ctx, "ovn-nbctl", "name,addresses", "Logical_Switch_Port", "external_ids:arca-owner-kind="+topology.KindAttachment)
	if err != nil {
		return err
	}
	if !maps.Equal(have, want) {
		return fmt.Errorf("OVN has ports with addresses %v, the objects are %v", have, want)
	}
	return nil
}

// interfaces compares the ports that OVS has, and the pairs of the host that are
// plugged into them, with what the objects name.
func (w *world) interfaces(ctx context.Context, list []*controlpb.ContainerNetwork) error {
	want, links := map[string]string{}, map[string]bool{}
	for _, a := range list {
		want[a.GetInterface().GetName()] = topology.PortName(types.UID(a.GetUid()))
		links[a.GetInterface().GetName()] = true
	}
	have, err := w.rows(ctx, "ovs-vsctl", "name,external_ids", "Interface", "external_ids:arca-owner-kind="+topology.KindAttachment)
	if err != nil {
		return err
	}
	for name, ids := range have {
		_, id, _ := strings.Cut(ids, "iface-id=")
		have[name], _, _ = strings.Cut(id, " ")
	}
	if !maps.Equal(have, want) {
		return fmt.Errorf("OVS has interfaces %v, the objects are %v", have, want)
	}
	pairs, err := vnet.Handovers()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, p := range pairs {
		there[p.Outer] = true
	}
	if !maps.Equal(there, links) {
		return fmt.Errorf("the host has interfaces %v, the objects name %v", there, links)
	}
	return nil
}

// rows reads two columns of the rows that match.
func (w *world) rows(ctx context.Context, tool, columns, table, condition string) (map[string]string, error) {
	out, err := ovnd.Tool(ctx, w.daemons, tool, "--db=unix:"+filepath.Join(w.daemons.RunDir, "db.sock"), "--timeout=20",
		"--format=csv", "--data=bare", "--no-headings", "--columns="+columns, "find", table, condition)
	if err != nil {
		return nil, err
	}
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s says %q: %w", tool, out, err)
	}
	rows := map[string]string{}
	for _, r := range records {
		rows[r[0]] = r[1]
	}
	return rows, nil
}

// networksAgree compares the engine's networks with the objects.
func (w *world) networksAgree(ctx context.Context) error {
	known, err := w.docker.Endpoints(ctx)
	if err != nil {
		return err
	}
	networks, err := w.client.ListBridges(ctx, &controlpb.ListBridgesRequest{})
	if err != nil {
		return err
	}
	for _, n := range networks.GetBridges() {
		if _, ok := known[n.GetNetworkId()]; !ok {
			return fmt.Errorf("network %s is an object and not one of the engine's", n.GetNetworkId())
		}
	}
	if len(known) != len(networks.GetBridges()) {
		return fmt.Errorf("the engine has %d networks, there are %d objects", len(known), len(networks.GetBridges()))
	}
	return nil
}

// frontAgrees compares what arcad tells its clients with what the engine has: of
// endpoints, and of the shadows of our networks.
func (w *world) frontAgrees(ctx context.Context, engine []endpoint) error {
	host := "unix://" + w.frontSocket()
	list, err := w.engine.DockerAt(ctx, host, "network", "ls", "-q", "--no-trunc", "--filter", "driver=bridge")
	if err != nil {
		return err
	}
	arcad, err := w.endpointsAt(ctx, host, strings.Fields(list)...)
	if err != nil {
		return err
	}
	if !slices.Equal(arcad, engine) {
		return fmt.Errorf("arcad tells of endpoints %v, the engine has %v", arcad, engine)
	}
	shadows, err := w.engine.DockerAt(ctx, w.engine.Host, "network", "ls", "--filter", "driver=arca", "--format", `{{.Name}} {{.Label "network.arca.dev/id"}}`)
	if err != nil {
		return err
	}
	for line := range strings.Lines(shadows) {
		name, of, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Contains(list, of) {
			continue
		}
		on, err := w.engine.DockerAt(ctx, w.engine.Host, "ps", "-aq", "--filter", "network="+name)
		if err != nil {
			return err
		}
		if on == "" {
			return fmt.Errorf("the engine has %s, whose network is gone and which no container is on", name)
		}
	}
	return nil
}
