// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
)

// Options is what a store is started with.
type Options struct {
	// Dir is the state folder, made with mode 0700: database, certificates,
	// kubeconfig, lock.
	Dir string
	// Endpoint is a datastore in kine's form, for example etcd's
	// "http://127.0.0.1:2379" or "postgres://...". Empty: SQLite in Dir.
	Endpoint string
	// Listen is the address for clients outside of this process, on the
	// loopback. Default: "127.0.0.1:0". Port 0 chooses one at the first start
	// and keeps it as long as it is free.
	Listen string
	// CRDs are installed, or upgraded, before Start returns.
	CRDs []*apiextensionsv1.CustomResourceDefinition
	Log  logr.Logger
}

// Store is a running embedded API.
type Store struct {
	dir    string
	log    logr.Logger
	config *rest.Config
	lock   *os.File

	stopServer  context.CancelFunc
	serverDone  chan struct{}
	stopBackend context.CancelFunc
	backendDone func()

	once sync.Once
	err  error
}

// Start starts the API and returns once it answers and the CRDs are served.
// It fails where another process has the folder, where the database is
// damaged, and where it cannot be written.
func Start(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	s := &Store{dir: o.Dir, log: o.Log, serverDone: make(chan struct{})}
	if s.lock, err = acquireLock(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = s.Stop(stop)
		}
	}()
	redirectLogs(o.Log)
	if o.Endpoint == "" {
		if err := prepareDatabase(ctx, databasePath(o.Dir)); err != nil {
			return nil, err
		}
	}
	datastore, err := s.startBackend(o)
	if err != nil {
		return nil, fmt.Errorf("datastore: %w", err)
	}
	if err := s.startServer(o, datastore); err != nil {
		return nil, fmt.Errorf("embedded API: %w", err)
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, err
	}
	if err := InstallCRDs(ctx, s.config, append([]*apiextensionsv1.CustomResourceDefinition{eventCRD()}, o.CRDs...)); err != nil {
		return nil, err
	}
	go s.pruneEvents(o.Log)
	return s, nil
}

// Config returns the configuration of clients in this process. It has no
// limit of queries per second.
func (s *Store) Config() *rest.Config { return rest.CopyConfig(s.config) }

// KubeconfigPath is the file for clients outside of this process.
func (s *Store) KubeconfigPath() string { return filepath.Join(s.dir, "kubeconfig") }

// Done is closed when the API has ended, by Stop or by itself.
func (s *Store) Done() <-chan struct{} { return s.serverDone }

// Err tells, after Done, why the API ended by itself; nil after Stop.
func (s *Store) Err() error {
	select {
	case <-s.serverDone:
		return s.err
	default:
		return nil
	}
}

// Stop ends the API, then the datastore, then gives the folder back. Writes
// that were acknowledged are on disk already.
func (s *Store) Stop(ctx context.Context) error {
	var errs []error
	s.once.Do(func() {
		if s.stopServer != nil {
			s.stopServer()
			select {
			case <-s.serverDone:
			case <-ctx.Done():
				errs = append(errs, fmt.Errorf("the API did not end: %w", ctx.Err()))
			}
		}
		if s.stopBackend != nil {
			s.stopBackend()
			ended := make(chan struct{})
			go func() { defer close(ended); s.backendDone() }()
			select {
			case <-ended:
			case <-ctx.Done():
				errs = append(errs, fmt.Errorf("the datastore did not end: %w", ctx.Err()))
			}
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Close())
		}
	})
	return errors.Join(errs...)
}
