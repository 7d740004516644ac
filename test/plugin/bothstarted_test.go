// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"strings"
	"testing"
)

// TestBothStarted: an engine and arcad that are both started anew, as after a boot, do
// not wait for each other: the engine starts its containers before it answers.
func TestBothStarted(t *testing.T) {
	w := newWorld(t)
	docker, try := w.front()
	docker("network", "create", "--subnet", "10.88.0.0/24", "web")
	docker(with([]string{"run", "-d", "--restart", "always", "--name", "c1", "--network", "web", "--ip", "10.88.0.50", "-p", "8080:80"}, serve("c1")...)...)
	docker("run", "-d", "--restart", "always", "--name", "c2", "--network", "web", image, "sleep", "1000")
	for range 2 {
		w.engine.Crash(t)
		w.arcad.kill()
		w.startFront()
		w.engine.Restart(t)
		w.eventually(func() error {
			for _, c := range []string{"c1", "c2"} {
				out, err := try("exec", c, "cat", "/etc/resolv.conf")
				if err == nil && !strings.Contains(out, "nameserver 10.88.0.1\n") {
					err = fmt.Errorf("%s has %s", c, out)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		w.published("127.0.0.1:8080", "c1")
		w.mustAgree()
	}
	docker("rm", "-f", "c1", "c2")
	docker("network", "rm", "web")
}
