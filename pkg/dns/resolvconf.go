// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// maxServers of a resolv.conf are used; libc uses three.
const maxServers = 8

// parseResolvConf finds the servers of a resolv.conf(5). Lines that are not
// understood are ignored, as libc does.
func parseResolvConf(text string) (servers []netip.AddrPort) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err == nil && len(servers) < maxServers {
			servers = append(servers, netip.AddrPortFrom(a, Port))
		}
	}
	return servers
}

// followResolvConf takes the host's servers from its file whenever that
// changes: it may be written, replaced, or a link to another.
func (s *Server) followResolvConf(ctx context.Context) (stop func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("following %s: %w", s.options.ResolvConf, err)
	}
	watch := func() {
		folders := []string{filepath.Dir(s.options.ResolvConf)}
		if target, err := filepath.EvalSymlinks(s.options.ResolvConf); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
		for _, have := range w.WatchList() {
			if !slices.Contains(folders, have) {
				_ = w.Remove(have)
			}
		}
		for _, f := range folders {
			if err := w.Add(f); err != nil {
				s.options.Log.V(1).Info("Following the host's name servers", "folder", f, "error", err.Error())
			}
		}
	}
	watch()
	s.readResolvConf()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-w.Events:
				if !ok {
					return
				}
			case _, ok := <-w.Errors: // events were lost, perhaps
				if !ok {
					return
				}
			}
			watch()
			s.readResolvConf()
		}
	}()
	return func() { _ = w.Close(); <-done }, nil
}

// readResolvConf takes the host's servers from its file. Without a file there
// are none.
func (s *Server) readResolvConf() {
	raw, err := os.ReadFile(s.options.ResolvConf)
	if err != nil {
		s.options.Log.V(1).Info("The host's name servers are not known", "error", err.Error())
	}
	now := newUpstreams(parseResolvConf(string(raw)), s.handler.own)
	if before := s.handler.host.Swap(now); before.key == now.key {
		return
	}
	s.handler.forward.cache.clear()
	s.options.Log.Info("Other names are asked of the host's servers", "servers", now.servers)
}
