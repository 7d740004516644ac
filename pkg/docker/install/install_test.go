// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func options() Options {
	return Options{
		Arcad: "/usr/bin/arcad", Network: "/usr/bin/arca-network", Target: "unix:///run/arca-network/control.sock",
		Engine: "unix:///var/run/docker.sock", PluginSocket: "unix:///run/docker/plugins/arca.sock",
	}
}

// tree is all files below root.
func tree(t *testing.T, root string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func outcomes(changes []Change) (out []Outcome) {
	for _, c := range changes {
		out = append(out, c.Outcome)
	}
	return out
}

func want(t *testing.T, what string, changes []Change, err error, want ...Outcome) {
	t.Helper()
	if err != nil || !slices.Equal(outcomes(changes), want) {
		t.Errorf("%s: %v, %v; want %v", what, changes, err, want)
	}
}

func TestInstallAndUninstall(t *testing.T) {
	root := t.TempDir()
	o := options()
	got, err := Install(root, o)
	want(t, "install", got, err, Written, Written)
	got, err = Install(root, o)
	want(t, "once more", got, err, Unchanged, Unchanged)
	o.Engine = "unix:///run/other.sock"
	got, err = Install(root, o)
	want(t, "with another engine", got, err, Unchanged, Updated)
	o.PluginSocket = "unix:///run/arca/driver.sock"
	got, err = Install(root, o)
	want(t, "with a socket that no engine looks for", got, err, Unchanged, Updated, Written)

	var spec struct{ Name, Addr string }
	raw, err := os.ReadFile(filepath.Join(root, "/etc/docker/plugins/arca.json"))
	if err == nil {
		err = json.Unmarshal(raw, &spec)
	}
	if err != nil || spec.Name != "arca" || spec.Addr != o.PluginSocket {
		t.Errorf("the engine is told %+v, %v", spec, err)
	}
	o.PluginSocket = options().PluginSocket
	got, err = Install(root, o)
	want(t, "with the engine's own again", got, err, Unchanged, Updated, Removed)

	got, err = Uninstall(root)
	want(t, "uninstall", got, err, Removed, Removed, Missing)
	if left := tree(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	got, err = Uninstall(root)
	want(t, "once more", got, err, Missing, Missing, Missing)
}

// What somebody else has written, or has changed, stays as it is.
func TestForeignFiles(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written by hand": func(path string) error { return os.WriteFile(path, []byte("[Unit]\n"), 0o600) },
		"changed by hand": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, append(raw, "# mine\n"...), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if _, err := Install(root, options()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(root, "/etc/systemd/system/arcad.service")
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.Network = "/opt/arca-network"
			got, err := Install(root, o)
			if !errors.Is(err, ErrForeign) || len(got) != 1 || got[0].Path != "/etc/systemd/system/arcad.service" {
				t.Errorf("install: %v, %v; want that it names arcad.service", got, err)
			}
			if raw, err := os.ReadFile(filepath.Join(root, "/etc/systemd/system/arca-network.service")); err != nil || strings.Contains(string(raw), o.Network) {
				t.Errorf("another file was written all the same: %v", err)
			}
			got, err = Uninstall(root)
			want(t, "uninstall", got, err, Removed, Foreign, Missing)
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	o := options()
	o.NetworkFlags = []string{"--ovn-root", `/var/a b/"50%"`}
	list := files(o)
	line := `ExecStart=/usr/bin/arca-network run --listen unix:///run/arca-network/control.sock --ovn-root "/var/a b/\"50%%\""` + "\n"
	if !strings.Contains(list[0].content, line) || !strings.Contains(list[0].content, "KillMode=process\n") {
		t.Errorf("unit\n%s\nwant %swithout an end to the daemons", list[0].content, line)
	}
	line = "ExecStart=/usr/bin/arcad run --target unix:///run/arca-network/control.sock --engine unix:///var/run/docker.sock --plugin-socket unix:///run/docker/plugins/arca.sock\n"
	if !strings.Contains(list[1].content, line) || !strings.Contains(list[1].content, "Before=docker.service\n") {
		t.Errorf("unit\n%s\nwant %sbefore the engine", list[1].content, line)
	}
	// What systemd makes of the line before it is a script that a shell can read.
	_, script, found := strings.Cut(list[1].content, `ExecStartPre=-/bin/sh -c "`)
	script, _, _ = strings.Cut(script, "\"\n")
	script = strings.ReplaceAll(script, "$$", "$")
	if out, err := exec.Command("sh", "-nc", script).CombinedOutput(); !found || err != nil || !strings.Contains(script, " -C DOCKER-USER $way uplink0 ") {
		t.Errorf("script %q: %v %s", script, err, out)
	}
}
