// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	ctrl "sigs.k8s.io/controller-runtime"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/internal/worldtest"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/store"
)

// childFolder makes the test binary a process that serves what is in that
// folder until it is killed.
const childFolder = "CONTROL_TEST_CHILD_FOLDER"

func serveUntilKilled(dir string) error {
	ctx := context.Background()
	ctrl.SetLogger(logr.Discard())
	crds, err := crd.All()
	if err != nil {
		return err
	}
	s, err := store.Start(ctx, store.Options{Dir: filepath.Join(dir, "state"), CRDs: crds})
	if err != nil {
		return err
	}
	api, err := worldtest.Client(s.Config())
	if err != nil {
		return err
	}
	g := &errgroup.Group{}
	if err := serve(ctx, g, s.Config(), api, "unix://"+filepath.Join(dir, "s"), control.Options{}, logr.Discard(), atOnce); err != nil {
		return err
	}
	return g.Wait()
}

// held is what clients were told.
type held struct {
	prefix string // of the names of all networks that are its own
	mu     sync.Mutex
	// there: acknowledged to be there, with the answer; unknown: a call about it
	// was cut off; not in the map: acknowledged to be gone, or never made.
	networks map[string]string
	unknown  map[string]bool
}

// What a client was told is so after SIGKILL of the server, at whatever moment.
func TestKillLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := &held{networks: map[string]string{}, unknown: map[string]bool{}}
	acknowledged := 0
	for round := range 3 {
		stderr := &bytes.Buffer{}
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+dir)
		child.Stderr = stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := control.Dial("unix://"+filepath.Join(dir, "s"), nil)
		if err != nil {
			t.Fatal(err)
		}
		// The socket of the one before is replaced when this one is there.
		if _, err := c.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{}); err != nil {
			t.Fatalf("round %d: %v: %s", round, err, stderr)
		}
		h.verify(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() { _ = h.write(ctx, c, fmt.Sprintf("r%d-w%d", round, worker)) })
		}
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond) // the moment is arbitrary
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		cancel()
		wg.Wait()
		_ = c.Close()
		if len(h.networks) == acknowledged {
			t.Fatalf("round %d: nothing was acknowledged: %s", round, stderr)
		}
		acknowledged = len(h.networks)
	}
	t.Logf("%d networks are acknowledged, of %d nothing is known", len(h.networks), len(h.unknown))
}

func (h *held) acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.networks)
}

// write makes networks, and deletes every third, until a call fails.
func (h *held) write(ctx context.Context, c *control.Client, prefix string) error {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", prefix, i)
		call, cancel := context.WithTimeout(ctx, impatience)
		res, err := c.CreateBridge(call, &controlpb.CreateBridgeRequest{NetworkId: id, Name: "name-" + id})
		cancel()
		h.mu.Lock()
		if err != nil {
			h.unknown[id] = true
			h.mu.Unlock()
			return err
		}
		h.networks[id] = res.Name
		h.mu.Unlock()
		if i%3 != 2 {
			continue
		}
		h.mu.Lock()
		h.unknown[id] = true
		h.mu.Unlock()
		call, cancel = context.WithTimeout(ctx, impatience)
		_, err = c.DeleteBridge(call, &controlpb.DeleteBridgeRequest{NetworkId: id})
		cancel()
		if err != nil {
			return err
		}
		h.mu.Lock()
		delete(h.networks, id)
		delete(h.unknown, id)
		h.mu.Unlock()
	}
}

// impatience bounds a call that is to fail.
const impatience = 3 * time.Second

func (h *held) verify(t *testing.T, c *control.Client) {
	t.Helper()
	list, err := c.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, b := range list.Bridges {
		there[b.NetworkId] = b.Name
	}
	for id, name := range h.networks {
		if there[id] != name && !h.unknown[id] {
			t.Errorf("%s was acknowledged and is %q", id, there[id])
		}
	}
	for id := range there {
		if _, known := h.networks[id]; !known && !h.unknown[id] && strings.HasPrefix(id, h.prefix) {
			t.Errorf("%s was deleted, or never asked for, and is there", id)
		}
	}
	// What was cut off can be asked for again.
	for id := range h.unknown {
		if _, err := c.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: id, Name: "name-" + id}); err != nil {
			t.Errorf("%s again: %v", id, err)
			continue
		}
		h.networks[id] = "name-" + id
		delete(h.unknown, id)
	}
	if _, err := c.GetHealth(within(t, patience), &controlpb.GetHealthRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("GetHealth where nothing measures: %v", err)
	}
}
