// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

var update = flag.Bool("update", false, "write the engine's answers into testdata/corpus")

// TestEngine: a real engine answers as the corpus says.
func TestEngine(t *testing.T) {
	engine := dockertest.Start(t, dockertest.Options{})
	all, requests := stories(t), 0
	answers := playAll(t, engine.Socket, all)
	for _, s := range all {
		requests += len(s.requests)
		t.Run(s.name, func(t *testing.T) {
			got := text(answers[s.name])
			if *update {
				if err := s.write(got); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(s.archive.Files[1].Data), got); diff != "" {
				t.Errorf("the engine's answers (-recorded +now):\n%s", diff)
			}
		})
	}
	t.Logf("Docker Engine %s (API %s) was asked %d requests in %d stories", engine.Version, engine.APIVersion, requests, len(all))
}

// playAll gets somebody's answers to stories. An engine waits half a minute for
// drivers that are not there: stories that are named slow-… run beside the others,
// and make nothing.
func playAll(t *testing.T, socket string, all []*story) map[string][]answer {
	t.Helper()
	out := make([][]answer, len(all))
	var slow errgroup.Group
	for i, s := range all {
		if strings.HasPrefix(s.name, "slow-") {
			slow.Go(func() (err error) {
				out[i], err = newPlayer(socket).play(t.Context(), s)
				return err
			})
		}
	}
	for i, s := range all {
		if strings.HasPrefix(s.name, "slow-") {
			continue
		}
		var err error
		p := newPlayer(socket)
		if out[i], err = p.play(t.Context(), s); err != nil {
			t.Errorf("story %s: %v", s.name, err)
		}
		if err := p.clean(t.Context()); err != nil {
			t.Fatalf("cleaning up after story %s: %v", s.name, err)
		}
	}
	if err := slow.Wait(); err != nil {
		t.Error(err)
	}
	answers := map[string][]answer{}
	for i, s := range all {
		answers[s.name] = out[i]
	}
	return answers
}

func text(answers []answer) string {
	var parts []string
	for _, a := range answers {
		parts = append(parts, a.String())
	}
	return strings.Join(parts, "\n")
}
