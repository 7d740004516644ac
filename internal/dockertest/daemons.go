// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs finds the folder with the engine's programs; empty means that all are in PATH.
func programs() (string, error) {
	bin := os.Getenv("ARCA_DOCKER_BIN")
	if bin == "" {
		root, err := repository()
		if err != nil {
			return "", err
		}
		bin = filepath.Join(root, "bin", "docker")
	}
	if _, err := os.Stat(filepath.Join(bin, "dockerd")); err != nil {
		return "", fmt.Errorf("no Docker Engine to test with (%w): run hack/docker-engine.sh", err)
	}
	return bin, nil
}

// repository is the folder above that has this module's go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod above the working directory")
}

// program is one of the engine's folder, or of PATH where it has none.
func (e *Engine) program(name string) string {
	own := filepath.Join(e.bin, name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	return own // the error of starting it says what is missing
}

// environment is that of the daemons and of the client: nothing of the user's
// but PATH, in which the engine's programs come first.
func (e *Engine) environment(more ...string) []string {
	return append([]string{
		"PATH=" + e.bin + ":" + os.Getenv("PATH"),
		"HOME=" + e.dir,
		"TMPDIR=" + e.dir,
	}, more...)
}

// writeConfig writes what containerd and dockerd cannot be told by flags: that
// nothing of the machine's own configuration counts.
func (e *Engine) writeConfig() error {
	containerd := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
`, filepath.Join(e.dir, "containerd"), filepath.Join(e.run, "containerd"), e.containerdSocket(), filepath.Join(e.dir, "opt"))
	if err := os.WriteFile(filepath.Join(e.dir, "containerd.toml"), []byte(containerd), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.dir, "daemon.json"), []byte("{}\n"), 0o600)
}

func (e *Engine) containerdSocket() string { return filepath.Join(e.run, "containerd.sock") }

func (e *Engine) startContainerd() (*daemon, error) {
	return launch(filepath.Join(e.dir, "containerd.log"), e.environment(),
		e.program("containerd"), "--config", filepath.Join(e.dir, "containerd.toml"))
}

func (e *Engine) startDockerd() (*daemon, error) {
	args := []string{
		"--config-file", filepath.Join(e.dir, "daemon.json"),
		"--host", e.Host,
		"--group", "root",
		"--data-root", filepath.Join(e.dir, "docker"),
		"--exec-root", filepath.Join(e.run, "exec"),
		"--pidfile", filepath.Join(e.run, "docker.pid"),
		"--containerd", e.containerdSocket(),
		"--exec-opt", "native.cgroupdriver=cgroupfs",
		"--cgroup-parent", "/" + e.cgroup,
	}
	if _, err := os.Stat(filepath.Join(e.bin, ".runc.version")); err == nil {
		// hack/docker-engine.sh builds it without libseccomp.
		args = append(args, "--seccomp-profile", "unconfined")
	}
	// An engine refuses old versions of the API unless it is told to answer them.
	env := e.environment("DOCKER_MIN_API_VERSION=1.24")
	return launch(filepath.Join(e.dir, "dockerd.log"), env, e.program("dockerd"), append(args, e.flags...)...)
}
