// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// processes are those that still have the engine's folders in their command line.
func (e *Engine) processes() (out []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		raw, err := os.ReadFile(p)
		if line := strings.ReplaceAll(string(raw), "\x00", " "); err == nil && strings.Contains(line, e.run) {
			out = append(out, filepath.Dir(p)+" "+line)
		}
	}
	return out
}

// unmount takes away what a crash of the engine left mounted.
func (e *Engine) unmount() error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var mounts []string
	for line := range strings.Lines(string(raw)) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, e.run+"/") || strings.HasPrefix(point, e.dir+"/") {
			mounts = append(mounts, point)
		}
	}
	slices.Reverse(mounts) // what was mounted last goes first
	var errs []error
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m, err))
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes the parent of the containers' cgroups, which runc leaves
// in each hierarchy.
func (e *Engine) removeCgroups() error {
	const root = "/sys/fs/cgroup"
	parents, err := filepath.Glob(filepath.Join(root, "*", e.cgroup))
	if err != nil {
		return err
	}
	parents = append(parents, filepath.Join(root, e.cgroup))
	var errs []error
	for _, parent := range parents {
		var dirs []string
		err := filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		slices.Reverse(dirs) // children first
		for _, dir := range dirs {
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("%s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}
