// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// publishedPorts compares what the host translates with what the objects want, and
// with what containers that are on a network were started with.
func (w *world) publishedPorts(ctx context.Context, list []*controlpb.ContainerNetwork) error {
	objects := map[string]string{}
	for _, a := range list {
		for _, p := range a.GetPorts() {
			address, _, _ := strings.Cut(a.GetAddresses()[0], "/")
			from := fmt.Sprintf("%s %s:%d", p.GetProtocol(), p.GetHostIp(), p.GetHostPort())
			objects[from] = fmt.Sprintf("%s:%d", address, p.GetContainerPort())
		}
	}
	have, err := translated(ctx)
	if err != nil {
		return err
	}
	if !maps.Equal(have, objects) {
		return fmt.Errorf("the host translates %v, the objects publish %v", have, objects)
	}
	asked, err := w.bindings(ctx)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(asked), func(from string) bool { return from == chosen || objects[from] != "" })
	if len(missing) > 0 || len(asked) != len(objects) {
		return fmt.Errorf("containers were to have ports %q, the objects publish %v", asked, objects)
	}
	return nil
}

// chosen stands for a port of the host that nobody has named.
const chosen = "any"

// bindings are the ports that containers which are on a network were started with.
func (w *world) bindings(ctx context.Context) (out []string, err error) {
	ids, err := w.engine.DockerAt(ctx, w.engine.Host, "ps", "-q", "--no-trunc")
	if err != nil || ids == "" {
		return nil, err
	}
	raw, err := w.engine.DockerAt(ctx, w.engine.Host, append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return nil, err
	}
	var inspected []struct {
		HostConfig struct {
			PortBindings map[string][]struct{ HostIp, HostPort string }
		}
		NetworkSettings struct {
			Networks map[string]struct{ EndpointID string }
		}
	}
	if err := json.Unmarshal([]byte(raw), &inspected); err != nil {
		return nil, err
	}
	for _, c := range inspected {
		endpoints := ""
		for _, n := range c.NetworkSettings.Networks {
			endpoints += n.EndpointID
		}
		if endpoints == "" {
			continue
		}
		for port, bindings := range c.HostConfig.PortBindings {
			_, protocol, _ := strings.Cut(port, "/")
			for _, b := range bindings {
				from := fmt.Sprintf("%s %s:%s", protocol, b.HostIp, b.HostPort)
				if b.HostPort == "" || b.HostPort == "0" {
					from = chosen
				}
				out = append(out, from)
			}
		}
	}
	return out, nil
}

// translated are the ports of the host that lead to containers. One that does so at
// all addresses of both families is told once.
func translated(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"everywhere4", "somewhere4", "everywhere6", "somewhere6"} {
		in, err := translatedIn(ctx, name)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, in)
	}
	return out, nil
}

// translatedIn are those in one map of the host's table.
func translatedIn(ctx context.Context, name string) (map[string]string, error) {
	raw, err := exec.CommandContext(ctx, "nft", "-j", "list", "map", "inet", "arca", name).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nft: %w: %s", err, raw)
	}
	var said struct {
		Nftables []struct {
			Map struct {
				Elem [][2]struct{ Concat []any }
			}
		}
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return nil, fmt.Errorf("nft says %s: %w", raw, err)
	}
	out := map[string]string{}
	for _, object := range said.Nftables {
		for _, e := range object.Map.Elem {
			from, to := e[0].Concat, e[1].Concat
			address := ""
			if strings.HasPrefix(name, "somewhere") {
				address, from = fmt.Sprint(from[0]), from[1:]
			}
			out[fmt.Sprintf("%v %s:%v", from[0], address, from[1])] = fmt.Sprintf("%v:%v", to[0], to[1])
		}
	}
	return out, nil
}

// answers asks what is published on the host, which says its name.
func answers(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// published waits until a port of the host leads to a container.
func (w *world) published(address, name string) {
	w.Helper()
	w.eventually(func() error {
		got, err := answers(address)
		if err == nil && got != name {
			err = fmt.Errorf("%s answers", got)
		}
		return err
	})
}

// unpublished fails where a port of the host still leads somewhere.
func (w *world) unpublished(address string) {
	w.Helper()
	if got, err := answers(address); err == nil {
		w.Errorf("%s still answers: %s", address, got)
	}
}
