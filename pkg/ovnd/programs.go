// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs runs the OVS and OVN programs of the system or of a root folder.
type programs struct {
	root   string
	loader []string // how to start a program of root; empty for the system's
	env    []string
	limit  time.Duration // of a run
}

// commandTimeout bounds one run of a tool, or a daemon's way to its readiness.
const commandTimeout = 30 * time.Second

// readAtLeast is how many bytes of a database's file a program reads in a second, also
// on a slow machine that is busy.
const readAtLeast = 1 << 20

// patience is how long a program may take that reads or writes files from end to end.
// One that is missing counts for nothing.
func (p *programs) patience(files ...string) time.Duration {
	limit := p.limit
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			limit += time.Duration(info.Size()/readAtLeast) * time.Second
		}
	}
	return limit
}

func newPrograms(o *Options) (*programs, error) {
	p := &programs{root: o.Root, limit: commandTimeout}
	logs := filepath.Join(o.Dir, "log")
	p.env = append(os.Environ(),
		"OVS_RUNDIR="+o.RunDir, "OVN_RUNDIR="+o.RunDir,
		"OVS_DBDIR="+o.Dir, "OVN_DBDIR="+o.Dir,
		"OVS_LOGDIR="+logs, "OVN_LOGDIR="+logs,
		"OVS_SYSCONFDIR="+o.Dir, "OVN_SYSCONFDIR="+o.Dir)
	if o.Root == "" {
		return p, nil
	}
	loaders, err := filepath.Glob(filepath.Join(o.Root, "lib*", "ld-linux-*.so.*"))
	if err != nil || len(loaders) == 0 {
		return nil, fmt.Errorf("root folder %s has no loader lib*/ld-linux-*.so.*; make one with hack/ovn-root.sh", o.Root)
	}
	libraries, err := filepath.Glob(filepath.Join(o.Root, "usr", "lib", "*-linux-gnu*"))
	if err != nil || len(libraries) == 0 {
		return nil, fmt.Errorf("root folder %s has no libraries in usr/lib", o.Root)
	}
	p.loader = []string{loaders[0], "--library-path", strings.Join(libraries, ":")}
	return p, nil
}

// find returns the path of a program. Symbolic links of a root folder are
// followed within it, as a chroot would.
func (p *programs) find(name string) (string, error) {
	if p.root == "" {
		for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"} {
			if path := filepath.Join(dir, name); executable(path) {
				return path, nil
			}
		}
		return "", fmt.Errorf("%s is not installed: install openvswitch-switch, ovn-central and ovn-host, or name a root folder with --ovn-root", name)
	}
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join(p.root, dir, name)
		for range 8 {
			link, err := os.Readlink(path)
			if err != nil {
				break
			}
			if filepath.IsAbs(link) {
				path = filepath.Join(p.root, link)
			} else {
				path = filepath.Join(filepath.Dir(path), link)
			}
		}
		if executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in root folder %s; make one with hack/ovn-root.sh", name, p.root)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// share is the path of a data file of the packages, such as a schema.
func (p *programs) share(path string) string {
	return filepath.Join(p.root, "/usr/share", path)
}

// run runs a program to its end and returns what it printed.
func (p *programs) run(ctx context.Context, name string, args ...string) (string, error) {
	return p.runFor(ctx, p.limit, name, args...)
}

// runFor is run for a program that may take as long as this.
func (p *programs) runFor(ctx context.Context, limit time.Duration, name string, args ...string) (string, error) {
	path, err := p.find(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	argv := append(append(append([]string{}, p.loader...), path), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = p.env
	cmd.Dir = "/"
	// A daemon that detaches keeps what it inherits: files, so that nobody
	// waits for a pipe to be closed.
	out, err := os.CreateTemp("", "arca-ovnd-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	runErr := cmd.Run()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	if runErr != nil {
		if ctx.Err() != nil {
			runErr = errors.Join(runErr, ctx.Err())
		}
		return string(text), fmt.Errorf("%s: %w: %s", name, runErr, text)
	}
	return string(text), nil
}

// versions asks the programs for theirs.
func (p *programs) versions(ctx context.Context) (Versions, error) {
	var v Versions
	for program, into := range map[string]*string{"ovs-vswitchd": &v.OVS, "ovn-northd": &v.OVN} {
		out, err := p.run(ctx, program, "--version")
		if err != nil {
			return v, err
		}
		first, _, _ := strings.Cut(out, "\n")
		fields := strings.Fields(first)
		if len(fields) == 0 {
			return v, fmt.Errorf("%s --version printed nothing", program)
		}
		*into = fields[len(fields)-1]
	}
	return v, nil
}

// Tool runs one of the packages' command line tools, for tests, measurements
// and people; the project itself talks to the databases.
func Tool(ctx context.Context, o Options, name string, args ...string) (string, error) {
	p, err := newPrograms(&o)
	if err != nil {
		return "", err
	}
	return p.run(ctx, name, args...)
}
