// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	"github.com/moby/moby/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

// childAddresses has this test's program serve the Docker API until it is killed:
// the control API's address, and the socket to serve on.
const childAddresses = "ARCA_TEST_DOCKER_CHILD"

func serveUntilKilled(addresses string) error {
	target, socket, _ := strings.Cut(addresses, " ")
	c, err := control.Dial(target, nil)
	if err != nil {
		return err
	}
	l, err := transport.Listen(context.Background(), "unix://"+socket, transport.Options{})
	if err != nil {
		return err
	}
	return docker.NewServer(docker.Options{Control: c, Log: logr.Discard()}).Serve(context.Background(), l)
}

// Killed in the middle of work, again and again: what was answered is there and
// as it was asked for, and whatever else is there is whole.
func killed(t *testing.T, w *world) {
	socket := filepath.Join(t.TempDir(), "k")
	made := map[string]string{}
	for round := range 5 {
		// Of its own: connections to the one before are dead.
		c, err := client.New(client.WithHost("unix://" + socket))
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childAddresses+"="+w.target+" "+socket)
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for ctx := within(t, patience); ; {
			if _, err := c.Ping(ctx, client.PingOptions{}); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		answered := 0
		for i := range 12 {
			name, subnet := fmt.Sprintf("k%d-%d", round, i), ipam(fmt.Sprintf("10.60.%d.0/24", 12*round+i))
			wg.Go(func() {
				res, err := c.NetworkCreate(within(t, patience), name, client.NetworkCreateOptions{IPAM: subnet, Labels: map[string]string{"of": name}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					return // nobody has promised it
				}
				made[name] = res.ID
				if answered++; answered == 3+round { // others are on their way
					_ = child.Process.Kill()
				}
			})
		}
		wg.Wait()
		_ = child.Process.Kill()
		_ = child.Wait()
		_ = c.Close()
	}
	w.settled(t)
	all, err := w.NetworkList(within(t, patience), client.NetworkListOptions{Filters: client.Filters{}.Add("name", "^k[0-9]-")})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, n := range all.Items {
		there[n.Name] = n.ID
		if n.Labels["of"] != n.Name || len(n.IPAM.Config) != 1 {
			t.Errorf("half a network: %+v", n)
		}
		if _, err := w.NetworkRemove(within(t, patience), n.ID, client.NetworkRemoveOptions{}); err != nil {
			t.Error(err)
		}
	}
	for name, id := range made {
		if there[name] != id {
			t.Errorf("network %s was acknowledged as %s, and is %q", name, id, there[name])
		}
	}
	if len(made) < 3+4+5+6+7 {
		t.Errorf("only %d networks were made", len(made))
	}
	t.Logf("%d networks were acknowledged, %d were there", len(made), len(there))
	var left v1alpha1.NetworkList
	if err := w.api.List(within(t, patience), &left); err != nil || len(left.Items) != 1 {
		t.Errorf("%d networks are left, %v", len(left.Items), err)
	}
}

// settled waits until the controllers have looked at every network.
func (w *world) settled(t *testing.T) {
	t.Helper()
	for ctx := within(t, patience); ; {
		var all v1alpha1.NetworkList
		if err := w.api.List(ctx, &all); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(all.Items, func(n v1alpha1.Network) bool { return len(n.Status.Conditions) == 0 }) {
			return
		}
	}
}
