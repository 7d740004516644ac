// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// Names of the daemons.
const (
	ovsdbServer   = "ovsdb-server"
	vswitchd      = "ovs-vswitchd"
	northd        = "ovn-northd"
	ovnController = "ovn-controller"
)

var daemonNames = []string{ovsdbServer, vswitchd, northd, ovnController}

// patience bounds the wait for anything that should take a second or two.
const patience = 60 * time.Second

// pause is what there is between two looks at something that tells nothing by
// itself.
const pause = 20 * time.Millisecond

// diskSize is the size of the disk that holds the state folder.
const diskSize = 512 << 20

// world is a machine with arca-network, its daemons and some containers.
type world struct {
	random   *rand.Rand
	dir      string // logs and copies
	state    string // the state folder, on a disk of its own
	run      string
	versions string

	daemon *exec.Cmd
	mu     sync.Mutex // of client, which is another after a start
	client client.Client
	// atRest is how the machine looks with the base objects and nothing else.
	atRest machine
	// base are the base objects as they were made ready.
	base snapshot
}

func newWorld(random *rand.Rand) (*world, error) {
	dir, err := os.MkdirTemp("", "arca-fault-")
	if err != nil {
		return nil, err
	}
	w := &world{random: random, dir: dir, state: filepath.Join(dir, "state"), run: "/run/arca"}
	if err := os.Mkdir(w.state, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", w.state, "tmpfs", 0, "mode=700,size="+strconv.Itoa(diskSize)); err != nil {
		return nil, fmt.Errorf("mounting a disk: %w", err)
	}
	for _, name := range baseContainers {
		if err := ip("netns", "add", name); err != nil {
			return nil, err
		}
	}
	if err := w.start(); err != nil {
		return nil, err
	}
	versions, err := ovnd.Tool(context.Background(), w.options(), northd, "--version")
	if err != nil {
		return nil, err
	}
	ovs, err := ovnd.Tool(context.Background(), w.options(), vswitchd, "--version")
	if err != nil {
		return nil, err
	}
	w.versions = firstLine(ovs) + ", " + firstLine(versions)
	if err := w.applyBase(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.untilReady(ctx, nil); err != nil {
		return nil, fmt.Errorf("the base objects: %w", err)
	}
	if w.base, err = w.snapshot(ctx); err != nil {
		return nil, err
	}
	if err := w.barrier(ctx); err != nil {
		return nil, err
	}
	w.atRest, err = w.look(ctx)
	return w, err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (w *world) log() string { return filepath.Join(w.dir, "log") }

func (w *world) options() ovnd.Options {
	return ovnd.Options{Root: *root, Dir: filepath.Join(w.state, "ovn"), RunDir: w.run}
}

func (w *world) flags() []string {
	return []string{"--state-dir", w.state, "--run-dir", w.run, "--ovn-root", *root}
}

// start starts arca-network and returns when its API answers.
func (w *world) start() error {
	log, err := os.OpenFile(w.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(*bin, "arca-network"), append([]string{"run", "--log-format", "json"}, w.flags()...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	w.daemon = cmd
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return until(ctx, "the API to answer", func() error {
		if err := w.connect(); err != nil {
			return err
		}
		return w.clientNow().List(ctx, &v1alpha1.NetworkList{})
	})
}

// connect makes a client. The kubeconfig may be another after a start.
func (w *world) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(w.state, "kubeconfig"))
	if err != nil {
		return err
	}
	config.QPS, config.Timeout = -1, 10*time.Second
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client = c
	return nil
}

func (w *world) clientNow() client.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.client
}

// crash kills arca-network with -9.
func (w *world) crash() error {
	if err := w.daemon.Process.Kill(); err != nil {
		return err
	}
	_ = w.daemon.Wait() // its status tells that it was killed
	w.daemon = nil
	return nil
}

// terminate ends arca-network as systemd does.
func (w *world) terminate() error {
	if err := w.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := w.daemon.Wait()
	w.daemon = nil
	if err != nil {
		return fmt.Errorf("arca-network on SIGTERM: %w", err)
	}
	return nil
}

// down ends the daemons.
func (w *world) down() error {
	out, err := command("arca-network", append([]string{"down"}, w.flags()...)...)
	if err != nil {
		return fmt.Errorf("arca-network down: %w: %s", err, out)
	}
	return nil
}

// pid is that of a daemon.
func (w *world) pid(name string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(w.run, name+".pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

func (w *world) signal(s syscall.Signal, names ...string) error {
	for _, name := range names {
		pid, err := w.pid(name)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, s); err != nil {
			return fmt.Errorf("signal to %s (pid %d): %w", name, pid, err)
		}
	}
	return nil
}

// tool runs one of the packages' programs.
func (w *world) tool(ctx context.Context, name string, args ...string) (string, error) {
	return ovnd.Tool(ctx, w.options(), name, args...)
}

func (w *world) endpoint() string { return "unix:" + filepath.Join(w.run, "db.sock") }

func (w *world) nbctl(args ...string) error {
	_, err := w.tool(context.Background(), "ovn-nbctl", append([]string{"--db=" + w.endpoint(), "--timeout=10"}, args...)...)
	return err
}

func (w *world) vsctl(args ...string) error {
	_, err := w.tool(context.Background(), "ovs-vsctl", append([]string{"--db=" + w.endpoint(), "--timeout=10", "--no-wait"}, args...)...)
	return err
}

// end deletes everything, and fails where something is left.
func (w *world) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.deleteAll(ctx); err != nil {
		return err
	}
	if err := w.nothingOfOurs(ctx); err != nil {
		return err
	}
	if err := w.terminate(); err != nil {
		return err
	}
	if err := w.down(); err != nil {
		return err
	}
	if err := w.sweep(); err != nil {
		return err
	}
	return emptyMachine(w.run)
}

// abandon ends a world that is broken.
func (w *world) abandon() error {
	if w.daemon != nil {
		_ = w.crash()
	}
	if err := w.down(); err != nil {
		return err
	}
	return w.sweep()
}

// sweep removes what the suite itself has made.
func (w *world) sweep() error {
	names, err := os.ReadDir("/run/netns")
	if err != nil {
		return err
	}
	for _, n := range names {
		err = errors.Join(err, ip("netns", "del", n.Name()))
	}
	return errors.Join(err, unix.Unmount(w.state, unix.MNT_DETACH), os.RemoveAll(w.dir))
}

// keepLogs copies what may tell why a fault did not heal.
func (w *world) keepLogs(name string) {
	tail, _ := exec.Command("tail", "-n", "15", w.log()).Output()
	fmt.Fprintf(os.Stderr, "%s", tail)
	if *keep == "" {
		return
	}
	to := filepath.Join(*keep, strings.ReplaceAll(name, " ", "-"))
	if err := os.MkdirAll(to, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "fault: keeping logs:", err)
		return
	}
	out, err := exec.Command("cp", "-r", w.log(), filepath.Join(w.state, "ovn", "log")+"/.", to).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "fault: keeping logs: %v: %s", err, out)
	}
}

// command runs one of our programs to its end.
func command(name string, args ...string) ([]byte, error) {
	return exec.Command(filepath.Join(*bin, name), args...).CombinedOutput()
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// until looks again and again until a look finds nothing wrong, and at ctx's end
// says what the last one found.
func until(ctx context.Context, what string, look func() error) error {
	var last error
	for {
		err := look()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // a look that is cut off tells nothing
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, last)
		case <-time.After(pause):
		}
	}
}
