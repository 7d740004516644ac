// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

// A project of so many services, on so many networks in turn.
const (
	composeServices = 20
	composeNetworks = 4
	composeRounds   = 3
)

// compose compares `docker compose up` of the same project on both sides. Each
// round begins with nothing, so the engine also learns the networks each time.
func compose(w *dockerWorld) ([]result, error) {
	file := filepath.Join(w.ours.dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(composeFile()), 0o600); err != nil {
		return nil, err
	}
	row := fmt.Sprintf("docker compose up, %d services on %d networks", composeServices, composeNetworks)
	return w.each(row, composeRounds, func(s *side, k int) (float64, error) {
		command := func(args ...string) error {
			args = append([]string{"compose", "-f", file, "-p", fmt.Sprintf("bench-%s-%d", s.way, k)}, args...)
			_, err := w.engine.DockerAt(context.Background(), s.host, args...)
			return err
		}
		ms, err := milliseconds(func() error { return command("up", "-d") })
		if err != nil {
			return 0, err
		}
		return ms, command("down", "-t", "0")
	})
}

func composeFile() string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range composeServices {
		fmt.Fprintf(&b, "  s%d: {image: %s, command: [sleep, '100000'], networks: [n%d]}\n", i, dockertest.Image, i%composeNetworks)
	}
	b.WriteString("networks:\n")
	for i := range composeNetworks {
		fmt.Fprintf(&b, "  n%d: {}\n", i)
	}
	return b.String()
}
