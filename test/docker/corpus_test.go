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

// TestCorpus: a real engine answers as the corpus says, and arcad as the engine,
// but for what testdata/differences.yaml tells the reason of.
func TestCorpus(t *testing.T) {
	all := stories(t)
	var engine map[string][]answer
	t.Run("engine", func(t *testing.T) { engine = playEngine(t, all) })
	if *update || engine == nil {
		return
	}
	t.Run("arcad", func(t *testing.T) { compareArcad(t, all, engine) })
}

func playEngine(t *testing.T, all []*story) map[string][]answer {
	engine, requests := dockertest.Start(t, dockertest.Options{}), 0
	answers := playAll(t, engine.Socket, engine.Socket, all)
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
	return answers
}

func compareArcad(t *testing.T, all []*story, engine map[string][]answer) {
	// Without a bridge, so that its subnet is free for the network bridge of arcad.
	containers, socket := startArcad(t, "--bridge=none")
	answers := playAll(t, socket, containers.Socket, all)
	on, requests, fields, listed := meantDifferences(t), 0, 0, 0
	for _, s := range all {
		requests += len(s.requests)
		for _, a := range answers[s.name] {
			fields += len(a.fields())
		}
		t.Run(s.name, func(t *testing.T) {
			found := differences(s, engine[s.name], answers[s.name])
			left := unmeant(found, on)
			listed += len(found) - len(left)
			for _, d := range left {
				t.Error(d)
			}
		})
	}
	for _, m := range on {
		if !m.used {
			t.Errorf("testdata/differences.yaml: nothing differs so any more: story %s, request %q, field %s", m.Story, m.Request, m.Field)
		}
	}
	t.Logf("arcad was asked %d requests in %d stories: %d fields, of which %d differ for reasons that are listed", requests, len(all), fields, listed)
}

// playAll gets somebody's answers to stories. An engine waits half a minute for
// drivers that are not there: stories that are named slow-… run beside the others,
// and make nothing.
func playAll(t *testing.T, socket, containers string, all []*story) map[string][]answer {
	t.Helper()
	out := make([][]answer, len(all))
	var slow errgroup.Group
	for i, s := range all {
		if strings.HasPrefix(s.name, "slow-") {
			slow.Go(func() (err error) {
				out[i], err = newPlayer(socket, containers).play(t.Context(), s)
				return err
			})
		}
	}
	for i, s := range all {
		if strings.HasPrefix(s.name, "slow-") {
			continue
		}
		var err error
		p := newPlayer(socket, containers)
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
