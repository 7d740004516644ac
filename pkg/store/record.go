// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// record is what the state folder remembers beside the database.
type record struct {
	// Port is the port that clients were told.
	Port int `json:"port,omitempty"`

	// Database is true once a database was made here. From then on a missing
	// or empty state.db is a loss to report, not a first start.
	Database bool `json:"database,omitempty"`

	// Restored is the revision that the last restoring began at, 0 if there was
	// none. The next one begins later, though its backup be older.
	Restored int64 `json:"restored,omitempty"`
}

func readRecord(dir string) (record, error) {
	var r record
	name := filepath.Join(dir, recordFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s is damaged (%w): remove it; only the remembered port is lost", name, err)
	}
	return r, nil
}

func (r record) write(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, recordFile), append(data, '\n'))
}

// writeFile replaces a file such that after a crash it holds the old or the new
// content, and makes it readable by its owner only. Content that is there
// already is not written again, so that a start needs no disk space for it.
func writeFile(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(data) {
		return os.Chmod(name, 0o600)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncFile(filepath.Dir(name))
}

// syncFile puts a file's content, or a folder's names, on disk.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
