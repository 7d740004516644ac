// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// podman are commands with an engine that calls CNI's plugins itself.
func (w *world) podman() map[string]command {
	return map[string]command{
		// rootfs NAME: a folder with busybox, for podman run --rootfs.
		"rootfs": func(ts *testscript.TestScript, _ bool, args []string) {
			bin := filepath.Join(ts.MkAbs(args[0]), "bin")
			ts.Check(os.MkdirAll(bin, 0o755))
			busybox, err := exec.LookPath("busybox")
			ts.Check(err)
			raw, err := os.ReadFile(busybox)
			ts.Check(err)
			ts.Check(os.WriteFile(filepath.Join(bin, "busybox"), raw, 0o755))
			for _, name := range []string{"sh", "ping", "sleep", "cat", "ip", "nc"} {
				ts.Check(os.Symlink("busybox", filepath.Join(bin, name)))
			}
		},
		// podman ARGS: it keeps everything in the story's folder, and its
		// networks are those of the story's conflists.
		"podman": func(ts *testscript.TestScript, neg bool, args []string) {
			ts.Check(w.preparePodman(ts))
			if err := ts.Exec("podman", append(w.podmanFlags(), args...)...); (err != nil) != neg {
				ts.Fatalf("unexpected outcome: %v", err)
			}
		},
	}
}

func (w *world) podmanFlags() []string {
	return []string{"--root", w.dir + "/podman", "--runroot", w.engine + "/run", "--tmpdir", w.engine + "/tmp", "--storage-driver", "vfs"}
}

// preparePodman writes Podman's configuration. Containers have no cgroup, for the
// story has none to give; crun still looks at what is mounted there, and
// refuses both versions at once.
func (w *world) preparePodman(ts *testscript.TestScript) error {
	if w.engine != "" {
		return nil
	}
	if err := w.hideCache(); err != nil {
		return err
	}
	if err := unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mounting over /sys/fs/cgroup: %w", err)
	}
	var err error
	if w.engine, err = os.MkdirTemp("/run", "podman"); err != nil { // at most 50 characters, says Podman
		return err
	}
	path := filepath.Join(w.dir, "containers.conf")
	ts.Setenv("CONTAINERS_CONF", path)
	return os.WriteFile(path, fmt.Appendf(nil, `
[network]
network_backend = "cni"
cni_plugin_dirs = [%q]
network_config_dir = %q
default_network = "web"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
`, ts.Getenv("CNI_PATH"), ts.Getenv("NETCONFPATH")), 0o600)
}

// endPodman ends the containers that a story has left.
func (w *world) endPodman() {
	if w.engine == "" {
		return
	}
	cmd := exec.Command("podman", append(w.podmanFlags(), "rm", "--all", "--force", "--time", "0")...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+filepath.Join(w.dir, "containers.conf"))
	_ = cmd.Run()
	_ = unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH)
	_ = os.RemoveAll(w.engine)
}
