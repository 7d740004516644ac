// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
)

func (s *Server) ping(_ context.Context, w http.ResponseWriter, r *call) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Swarm", string(swarm.LocalNodeStateInactive))
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Content-Length", "0")
		return nil
	}
	_, err := w.Write([]byte("OK"))
	return err
}

func (s *Server) showVersion(_ context.Context, w http.ResponseWriter, _ *call) error {
	kernel, _ := kernelRelease()
	return writeJSON(w, http.StatusOK, system.VersionResponse{
		Platform: system.PlatformInfo{Name: "Arca Network"},
		Version:  s.version, APIVersion: MaxAPIVersion, MinAPIVersion: MinAPIVersion,
		Os: runtime.GOOS, Arch: runtime.GOARCH, GoVersion: runtime.Version(), KernelVersion: kernel,
		Components: []system.ComponentVersion{{Name: "Engine", Version: s.version, Details: map[string]string{
			"ApiVersion": MaxAPIVersion, "MinAPIVersion": MinAPIVersion, "GoVersion": runtime.Version(),
			"Os": runtime.GOOS, "Arch": runtime.GOARCH, "KernelVersion": kernel, "Experimental": "false",
		}}},
	})
}

// showInfo says of this machine what concerns networks. What an engine has is
// its own to say.
func (s *Server) showInfo(_ context.Context, w http.ResponseWriter, _ *call) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	kernel, machine := kernelRelease()
	return writeJSON(w, http.StatusOK, system.Info{
		ID: DerivedID("network.arca.dev/host/" + name), Name: name, ServerVersion: s.version, SystemTime: time.Now().Format(time.RFC3339Nano),
		OSType: runtime.GOOS, Architecture: machine, KernelVersion: kernel, NCPU: runtime.NumCPU(), NGoroutines: runtime.NumGoroutine(),
		IPv4Forwarding: true, NEventsListener: s.events.listeners(),
		Plugins: system.PluginsInfo{Network: []string{"bridge", "host", "null", "overlay"}},
		Swarm:   swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive},
	})
}

func kernelRelease() (release, machine string) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", ""
	}
	text := func(b []byte) string { s, _, _ := strings.Cut(string(b), "\x00"); return s }
	return text(u.Release[:]), text(u.Machine[:])
}
