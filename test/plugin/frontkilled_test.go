// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// front is arcad as clients of Docker's API use it, and what becomes of their
// work when somebody is killed.
type front struct {
	*world
	docker  func(args ...string) string
	try     func(args ...string) (string, error)
	compose []string
}

// TestFrontKilled: arcad with Docker's API, arca-network and the engine are killed
// in turn while containers are run and while a project is brought up. Afterwards
// arcad, the engine, the objects, OVN, OVS and the host say the same, and what was
// begun can be done again.
func TestFrontKilled(t *testing.T) {
	f := &front{world: newWorld(t)}
	f.docker, f.try = f.world.front()
	f.compose = []string{"compose", "-p", "p1", "-f", f.composeFile(plainProject)}
	f.docker("network", "create", "--subnet", "10.88.0.0/24", "n1")
	f.docker("network", "create", "n2")
	for _, victim := range []struct {
		name string
		kill func()
	}{
		{"arcad", func() { f.arcad.kill(); f.startFront() }},
		{"arca-network", func() { f.network.kill(); f.startNetwork() }},
		{"dockerd", func() { f.engine.Crash(t); f.engine.Restart(t) }},
	} {
		for _, load := range []struct {
			name string
			// runs is about how long the load takes.
			runs  time.Duration
			load  func()
			again func()
		}{
			{"run", 1500 * time.Millisecond, f.runContainers, f.runAgain},
			{"compose up", 2 * time.Second, f.bringUp, f.bringUpAgain},
		} {
			t.Run(victim.name+" during "+load.name, func(t *testing.T) {
				f.T = t
				for range 2 {
					var under sync.WaitGroup
					under.Go(load.load)
					f.atSomeMoment(load.runs)
					victim.kill()
					under.Wait()
					f.mustAgree()
					load.again()
				}
			})
			f.T = t
		}
	}
	f.docker("network", "rm", "n1", "n2")
	f.mustAgree()
	f.endOrphans()
}

// runContainers has containers come and go. What fails meanwhile, fails.
func (f *front) runContainers() {
	var load sync.WaitGroup
	for i := range 3 {
		load.Go(func() {
			name := fmt.Sprintf("load%d", i)
			// An engine that starts again waits for what ran, unless it may be killed.
			_, _ = f.try("run", "-d", "--name", name, "--network", "n1", "--ip", fmt.Sprintf("10.88.0.%d", 50+i),
				"-p", fmt.Sprintf("%d:80", 9100+i), "--stop-signal", "KILL", image, "sleep", "1000")
			_, _ = f.try("network", "connect", "n2", name)
			_, _ = f.try("network", "create", "net"+name)
			if i != 0 {
				_, _ = f.try("rm", "-f", name)
			}
			_, _ = f.try("network", "rm", "net"+name)
		})
	}
	load.Wait()
}

// runAgain starts what the load has left, removes it, and has what it had: its
// addresses, ports and names are free again.
func (f *front) runAgain() {
	f.Helper()
	for name := range strings.FieldsSeq(f.docker("ps", "-a", "--format", "{{.Names}}")) {
		if !f.started(name) {
			continue
		}
		// An engine itself takes a container off a network whose driver was killed over
		// Join; then it starts without one.
		want := "10.88.0.5" + strings.TrimPrefix(name, "load")
		if got := f.docker("inspect", "-f", "{{with .NetworkSettings.Networks.n1}}{{.IPAddress}}{{end}}", name); got != want && got != "" {
			f.Errorf("%s was started again and has address %q, want %s", name, got, want)
		}
	}
	f.mustAgree()
	f.eventually(func() error {
		left, err := f.try("ps", "-aq")
		if err == nil && left != "" {
			_, err = f.try(append([]string{"rm", "-f"}, strings.Fields(left)...)...)
		}
		return err
	})
	for name := range strings.FieldsSeq(f.docker("network", "ls", "--format", "{{.Name}}")) {
		if strings.HasPrefix(name, "net") {
			f.docker("network", "rm", name)
		}
	}
	f.mustAgree()
	for i := range 3 {
		name := fmt.Sprintf("load%d", i)
		f.docker(append([]string{"run", "-d", "--name", name, "--network", "n1", "--ip", fmt.Sprintf("10.88.0.%d", 50+i),
			"-p", fmt.Sprintf("%d:80", 9100+i)}, serve(name)...)...)
		f.published(fmt.Sprintf("127.0.0.1:%d", 9100+i), name)
	}
	f.docker("rm", "-f", "load0", "load1", "load2")
	f.unpublished("127.0.0.1:9100")
	f.mustAgree()
}

// started starts a container, unless the engine is still removing it for a client
// that has gone, or was killed meanwhile.
func (f *front) started(name string) bool {
	f.Helper()
	there := true
	f.eventually(func() error {
		_, err := f.try("start", name)
		if err == nil {
			return nil
		}
		// One that an engine was killed over removing stays, dead.
		if strings.Contains(err.Error(), "is marked for removal") {
			there = false
			return nil
		}
		if left, listErr := f.try("ps", "-aq", "--filter", "name=^"+name+"$"); listErr == nil && left == "" {
			there = false
			return nil
		}
		return err
	})
	return there
}

// bringUp brings the project up. What fails meanwhile, fails.
func (f *front) bringUp() { _, _ = f.try(append(f.compose, "up", "-d")...) }

// bringUpAgain brings the project up from wherever it is, and takes it down.
func (f *front) bringUpAgain() {
	f.Helper()
	f.docker(append(f.compose, "up", "-d")...)
	// An engine itself takes a container off a network whose driver was killed while
	// the container was started, and it may do so behind compose's back: the next
	// `compose up` sees it and makes the container anew.
	if on := f.docker("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}/{{$name}}{{end}}", "p1-web-1"); on != "/p1_back/p1_front" {
		f.Logf("the engine has left p1-web-1 on %s alone", on)
		f.docker(append(f.compose, "up", "-d")...)
	}
	f.mustAgree()
	f.docker(append(f.compose, "exec", "web", "ping", "-c", "1", "store")...)
	f.published("127.0.0.1:8090", "web")
	f.docker(append(f.compose, "down", "-t", "0")...)
	f.unpublished("127.0.0.1:8090")
	f.mustAgree()
	if left := f.docker("network", "ls", "-q", "--filter", "label=com.docker.compose.project=p1"); left != "" {
		f.Errorf("networks of the project are left: %s", left)
	}
}
