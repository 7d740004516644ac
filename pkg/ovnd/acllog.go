// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// ACLLine is what ovn-controller tells about a packet that an ACL decided.
type ACLLine struct {
	Name, Verdict, Direction, Packet string
}

// FollowACLs calls fn for every packet that a logging ACL decides from now on,
// until ctx is done. ovn-controller writes them to its log file; a meter of the
// ACL bounds how many.
func (s *Stack) FollowACLs(ctx context.Context, fn func(ACLLine)) error {
	path := ""
	for _, d := range s.daemons {
		if d.name == "ovn-controller" {
			path = d.logfile()
		}
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(path[:strings.LastIndexByte(path, '/')]); err != nil {
		return err
	}
	f := &follower{path: path, fn: fn}
	defer f.close()
	if err := f.open(io.SeekEnd); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			// Events were lost: what the file has is read all the same.
			s.options.Log.V(1).Info("Watching the log of ovn-controller", "error", err.Error())
			f.read()
		case e := <-watcher.Events:
			if e.Name != path {
				continue
			}
			f.read()
			if e.Has(fsnotify.Create) { // it was put aside, and this is the next
				if err := f.open(io.SeekStart); err != nil {
					return err
				}
				f.read()
			}
		}
	}
}

// follower reads what is added to a file.
type follower struct {
	path string
	fn   func(ACLLine)
	file *os.File
	rest []byte
}

func (f *follower) open(whence int) error {
	f.close()
	file, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it will be created
	}
	if err != nil {
		return err
	}
	f.file, f.rest = file, nil
	_, err = file.Seek(0, whence)
	return err
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// maxLine bounds what is kept of a line that is not complete yet.
const maxLine = 64 << 10

func (f *follower) read() {
	if f.file == nil {
		return
	}
	r := bufio.NewReaderSize(f.file, maxLine)
	for {
		part, err := r.ReadSlice('\n')
		f.rest = append(f.rest, part...)
		if err == nil {
			if line, ok := parseACLLine(string(bytes.TrimSpace(f.rest))); ok {
				f.fn(line)
			}
		}
		if err == nil || len(f.rest) > maxLine {
			f.rest = f.rest[:0]
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// parseACLLine reads a line such as
//
//	2026-01-01T00:00:00.000Z|00012|acl_log(ovn_pinctrl0)|INFO|name="web/ingress[0]", verdict=drop, severity=info, direction=to-lport: tcp,…
func parseACLLine(line string) (ACLLine, bool) {
	_, after, ok := strings.Cut(line, "|acl_log(")
	if !ok {
		return ACLLine{}, false
	}
	_, after, ok = strings.Cut(after, "|name=")
	if !ok {
		return ACLLine{}, false
	}
	head, packet, ok := strings.Cut(after, ": ")
	if !ok {
		return ACLLine{}, false
	}
	out := ACLLine{Packet: packet}
	for i, field := range strings.Split(head, ", ") {
		key, value, found := strings.Cut(field, "=")
		switch {
		case i == 0:
			out.Name = strings.Trim(field, `"`)
		case found && key == "verdict":
			out.Verdict = value
		case found && key == "direction":
			out.Direction = value
		}
	}
	return out, true
}
