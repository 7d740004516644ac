// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cni are the commands of a container runtime.
func (w *world) cni() map[string]command {
	return map[string]command{
		// conflist NAME KEYS: a network configuration whose one plugin is
		// arca-cni with such keys, in JSON.
		"conflist": func(ts *testscript.TestScript, _ bool, args []string) {
			plugin, version := w.plugin(ts, args[1]), "1.1.0"
			if v, given := plugin["cniVersion"].(string); given {
				version = v
			}
			plugin["capabilities"] = map[string]bool{
				"portMappings": true, "bandwidth": true, "mac": true, "ips": true, "dns": true, "aliases": true,
			}
			raw, err := json.Marshal(map[string]any{"cniVersion": version, "name": args[0], "plugins": []any{plugin}})
			ts.Check(err)
			ts.Check(os.MkdirAll(ts.Getenv("NETCONFPATH"), 0o755))
			ts.Check(os.WriteFile(filepath.Join(ts.Getenv("NETCONFPATH"), args[0]+".conflist"), raw, 0o600))
		},
		// cnitool COMMAND NAME NETNS: CNI's own tool, which calls all plugins of
		// a configuration.
		"cnitool": func(ts *testscript.TestScript, neg bool, args []string) {
			ts.Check(w.hideCache())
			if err := ts.Exec("cnitool", args...); (err != nil) != neg {
				ts.Fatalf("unexpected outcome: %v", err)
			}
		},
		// plugin COMMAND CONTAINER IFNAME NETNS KEYS: arca-cni is called as a
		// runtime calls it. CNI_ARGS is the story's.
		"plugin": func(ts *testscript.TestScript, neg bool, args []string) {
			stdin, err := json.Marshal(w.plugin(ts, args[4]))
			ts.Check(err)
			bin := strings.Split(ts.Getenv("PATH"), ":")[0]
			cmd := exec.Command(filepath.Join(bin, "arca-cni"))
			cmd.Env = append(os.Environ(), "CNI_COMMAND="+args[0], "CNI_CONTAINERID="+args[1], "CNI_IFNAME="+args[2], "CNI_NETNS="+args[3],
				"CNI_PATH="+bin, "CNI_ARGS="+ts.Getenv("CNI_ARGS"))
			cmd.Stdin = bytes.NewReader(stdin)
			cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
			if err := cmd.Run(); (err != nil) != neg {
				ts.Fatalf("unexpected outcome: %v", err)
			}
		},
	}
}

// plugin is a configuration of arca-cni: what it always is here, and keys.
func (w *world) plugin(ts *testscript.TestScript, keys string) map[string]any {
	out := map[string]any{"cniVersion": "1.1.0", "type": "arca-cni", "target": "unix://" + filepath.Join(w.run, "control.sock"), "timeout": "20s"}
	ts.Check(json.Unmarshal([]byte("{"+keys+"}"), &out))
	return out
}

// hideCache keeps what CNI's library remembers of results, for which cnitool
// has no other place, out of the machine's /var/lib/cni: the story's mounts are
// its own.
func (w *world) hideCache() error {
	if w.hidden {
		return nil
	}
	if err := unix.Mount("cni", "/var/lib", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting over /var/lib: %w", err)
	}
	w.hidden = true
	return nil
}

func (w *world) showCache() {
	if w.hidden {
		_ = unix.Unmount("/var/lib", unix.MNT_DETACH)
	}
}
