// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"errors"
	"path/filepath"
	"syscall"
)

// shortLives is how often in a row a daemon must have died within its first seconds
// (lasting) to be taken for one that what it reads ends each time.
const shortLives = 4

// renewSouthbound has a southbound database made anew on which ovn-northd ends itself:
// it takes what it finds there for its own work, and some of what it cannot have made
// fails an assertion at each start (OVN 25.03: a router's chassisredirect port that was
// deleted, while its switch's is there). ovn-northd derives all of it again, and
// ovn-controller is held until then (hold.go).
func (s *Stack) renewSouthbound() {
	for _, db := range databaseFiles {
		if db.name != southbound {
			continue
		}
		file := filepath.Join(s.options.Dir, db.file)
		err := putAside(file)
		if err == nil {
			// The next server finds no file, and makes one.
			err = s.daemon("ovsdb-server").kill()
		}
		s.options.Log.Error(errors.Join(errNorthdEnds, err), "The southbound database was put aside and will be filled by ovn-northd",
			"file", file, "log", s.daemon("ovn-northd").logfile())
	}
}

var errNorthdEnds = errors.New("ovn-northd ends as soon as it reads the southbound database")

// kill ends the daemon, which is started again by whoever watches it.
func (d *daemon) kill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proc.signal(syscall.SIGKILL)
}
