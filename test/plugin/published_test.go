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
// with what containers that run were started with.
func (w *world) publishedPorts(ctx context.Context, list []*controlpb.ContainerNetwork) error {
	objects, wanted := map[string]string{}, map[string]string{}
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
	if err := w.bindings(ctx, wanted); err != nil {
		return err
	}
	if !slices.Equal(slices.Sorted(maps.Keys(wanted)), slices.Sorted(maps.Keys(objects))) {
		return fmt.Errorf("containers that run were to have ports %v, the objects publish %v", wanted, objects)
	}
	return nil
}

// bindings are the ports that containers which run were started with.
func (w *world) bindings(ctx context.Context, into map[string]string) error {
	ids, err := w.engine.DockerAt(ctx, w.engine.Host, "ps", "-q", "--no-trunc")
	if err != nil || ids == "" {
		return err
	}
	raw, err := w.engine.DockerAt(ctx, w.engine.Host, append([]string{"inspect"}, strings.Fields(ids)...)...)
	if err != nil {
		return err
	}
	var inspected []struct {
		Name       string
		HostConfig struct {
			PortBindings map[string][]struct{ HostIp, HostPort string }
		}
	}
	if err := json.Unmarshal([]byte(raw), &inspected); err != nil {
		return err
	}
	for _, c := range inspected {
		for port, bindings := range c.HostConfig.PortBindings {
			_, protocol, _ := strings.Cut(port, "/")
			for _, b := range bindings {
				into[fmt.Sprintf("%s %s:%s", protocol, b.HostIp, b.HostPort)] = c.Name
			}
		}
	}
	return nil
}

// translated are the ports of the host that lead to containers.
func translated(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{"everywhere4", "somewhere4", "everywhere6", "somewhere6"} {
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
