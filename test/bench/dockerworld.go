// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

const (
	// arcadSocket is where arcad serves Docker's API, engineSocket another name of
	// the engine's: an engine takes a process that names its folder for its own.
	arcadSocket  = "/run/arca.sock"
	engineSocket = "/run/engine.sock"
	pluginSocket = "/run/docker/plugins/arca.sock"
)

// dockerWorld is a host with a Docker Engine, arca-network, and arcad in front of
// the engine.
type dockerWorld struct {
	ours   *ours
	engine *dockertest.Engine
	arcad  *exec.Cmd
	sides  []*side // through arcad, and the engine itself
}

// side is one of the two ways to the same engine.
type side struct {
	way    string
	host   string // DOCKER_HOST
	client *client.Client
	http   *http.Client
}

func newSide(way, socket string) (*side, error) {
	s := &side{way: way, host: "unix://" + socket, http: &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	var err error
	s.client, err = client.New(client.WithHost(s.host))
	return s, err
}

// get reads an answer to its end; nothing is decoded, for that is not what is measured.
func (s *side) get(path string) ([]byte, error) {
	res, err := s.http.Get("http://docker" + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, res.Status, body)
	}
	return body, err
}

// withDocker measures in such a world; flags are dockerd's.
func withDocker(dir string, measure func(*dockerWorld) ([]result, error), flags ...string) (results []result, err error) {
	w := &dockerWorld{ours: &ours{daemons: &daemons{dir: dir}}}
	defer func() {
		if err != nil {
			for _, log := range []string{"log", "arcad.log"} {
				if raw, e := os.ReadFile(filepath.Join(dir, log)); e == nil {
					fmt.Fprintf(os.Stderr, "%s:\n%s\n", log, raw[max(0, len(raw)-4000):])
				}
			}
		}
		err = errors.Join(err, w.stop())
	}()
	if err := w.start(dir, flags); err != nil {
		return nil, err
	}
	return measure(w)
}

func (w *dockerWorld) start(dir string, flags []string) (err error) {
	if err := w.ours.start(); err != nil {
		return err
	}
	data := filepath.Join(dir, "docker")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if w.engine, err = dockertest.New(data, dockertest.Options{Flags: flags}); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench:   Docker Engine %s, API %s\n", w.engine.Version, w.engine.APIVersion)
	if err := os.Symlink(w.engine.Socket, engineSocket); err != nil {
		return err
	}
	if err := w.startArcad(dir); err != nil {
		return err
	}
	for _, of := range [][2]string{{"ours", arcadSocket}, {"engine", w.engine.Socket}} {
		s, err := newSide(of[0], of[1])
		if err != nil {
			return err
		}
		w.sides = append(w.sides, s)
		for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // nothing tells but an answer
			if _, err = s.get("/networks/bridge"); err == nil {
				break
			}
			if time.Now().After(limit) {
				return fmt.Errorf("%s does not answer: %w", s.host, err)
			}
		}
	}
	return nil
}

func (w *dockerWorld) startArcad(dir string) error {
	if err := os.MkdirAll(filepath.Dir(pluginSocket), 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "arcad.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	w.arcad = exec.Command(filepath.Join(*bin, "arcad"), "run", "--log-format", "json", "--listen", "unix://"+arcadSocket,
		"--target", "unix://"+filepath.Join(w.ours.run(), "control.sock"), "--engine", "unix://"+engineSocket, "--plugin-socket", "unix://"+pluginSocket)
	w.arcad.Stdout, w.arcad.Stderr = log, log
	return w.arcad.Start()
}

// stop ends the engine first: it gives back what its containers have.
func (w *dockerWorld) stop() (err error) {
	if w.engine != nil {
		err = w.engine.Stop()
	}
	if w.arcad != nil && w.arcad.Process != nil {
		err = errors.Join(err, w.arcad.Process.Signal(syscall.SIGTERM), w.arcad.Wait())
	}
	return errors.Join(err, w.ours.stop())
}

// each takes samples of the same thing on each side in turn, so that both
// have the same machine. The first of each is not counted: the engine learns the
// network then.
func (w *dockerWorld) each(row string, n int, sample func(s *side, k int) (ms float64, err error)) ([]result, error) {
	took := make([][]float64, len(w.sides))
	for k := range n + 1 {
		for i, s := range w.sides {
			ms, err := sample(s, k)
			if err != nil {
				return nil, fmt.Errorf("%s, sample %d of %s: %w", row, k, s.way, err)
			}
			if k > 0 {
				took[i] = append(took[i], ms)
			}
		}
	}
	var results []result
	for i, s := range w.sides {
		r := of(row, "ms", took[i]...)
		r.Way = s.way
		fmt.Fprintf(os.Stderr, "bench:   %s, %s: %s %s\n", row, r.Way, r.cell(true), r.Unit)
		results = append(results, r)
	}
	return results, nil
}
