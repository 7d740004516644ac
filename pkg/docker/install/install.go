// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Outcome is what became of a file.
type Outcome string

// Outcomes.
const (
	Written   Outcome = "written"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged"
	Removed   Outcome = "removed"
	Missing   Outcome = "not there"
	// Foreign: somebody else has written or changed it; it is left alone.
	Foreign Outcome = "left alone: it was not written by arcad, or was changed since"
)

// Change is a file and what became of it.
type Change struct {
	Path string
	Outcome
}

// writtenBy begins the mark. What follows is the sum of the whole file with an
// empty sum in it, so that a change by hand shows.
const writtenBy = "Written by arcad install; arcad uninstall removes it. sha256:"

var markPattern = regexp.MustCompile(regexp.QuoteMeta(writtenBy) + "([0-9a-f]{64})")

// text is the file with its mark.
func (f file) text() string {
	unsigned := f.mark(f.content, writtenBy)
	sum := sha256.Sum256([]byte(unsigned))
	return f.mark(f.content, writtenBy+hex.EncodeToString(sum[:]))
}

// intact tells whether a text is as it was written, whatever it was written for.
func intact(text string) bool {
	m := markPattern.FindStringSubmatchIndex(text)
	if m == nil {
		return false
	}
	sum := sha256.Sum256([]byte(text[:m[2]] + text[m[3]:]))
	return text[m[2]:m[3]] == hex.EncodeToString(sum[:])
}

// ErrForeign says that a file is in the way.
var ErrForeign = errors.New("a file that arcad has not written, or that was changed since, is in the way; move it away and try again")

// Install writes the files below root. Where one of them is somebody else's none is
// written, and the error is ErrForeign.
func Install(root string, o Options) ([]Change, error) {
	changes := make([]Change, 0, 3)
	foreign := false
	list := files(o)
	for _, f := range list {
		have, err := os.ReadFile(filepath.Join(root, f.path))
		c := Change{f.path, Updated}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.Outcome = Written
		case err != nil:
			return nil, err
		case string(have) == f.text():
			c.Outcome = Unchanged
		case !intact(string(have)):
			c.Outcome = Foreign
			foreign = true
		}
		changes = append(changes, c)
	}
	if foreign {
		return onlyForeign(changes), ErrForeign
	}
	for i, c := range changes {
		if c.Outcome == Unchanged {
			continue
		}
		if err := write(filepath.Join(root, c.Path), list[i].text()); err != nil {
			return changes[:i], err
		}
	}
	// One that was needed before, for another socket.
	if len(list) == 2 {
		c, err := remove(root, specFile("").path)
		if err != nil {
			return changes, err
		}
		if c.Outcome == Removed {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

func onlyForeign(changes []Change) (out []Change) {
	for _, c := range changes {
		if c.Outcome == Foreign {
			out = append(out, c)
		}
	}
	return out
}

// Uninstall removes the files below root that Install has written and nobody has
// changed.
func Uninstall(root string) (changes []Change, err error) {
	for _, f := range files(Options{}) { // with the plugin's file, for no socket is the engine's
		c, err := remove(root, f.path)
		if err != nil {
			return changes, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func remove(root, path string) (Change, error) {
	name := filepath.Join(root, path)
	have, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Change{path, Missing}, nil
	case err != nil:
		return Change{}, err
	case !intact(string(have)):
		return Change{path, Foreign}, nil
	}
	return Change{path, Removed}, os.Remove(name)
}

// write replaces a file in one step: a machine that stops in the middle has the
// old one or the new one.
func write(name, text string) error {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when all went well
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// UnitsChanged tells whether systemd has to read its units again.
func UnitsChanged(changes []Change) bool {
	for _, c := range changes {
		if strings.HasSuffix(c.Path, ".service") && (c.Outcome == Written || c.Outcome == Updated || c.Outcome == Removed) {
			return true
		}
	}
	return false
}
