// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Store is a running API server with its storage.
type Store struct {
	dir string
	log logr.Logger

	lock   *folderLock
	ds     *datastore
	health *health
	api    *apiServer
	// plain are the kinds whose objects are what is stored of them, with the prefix
	// of their keys.
	plain map[schema.GroupVersionKind]string

	stopAPI   context.CancelFunc
	apiDone   chan struct{} // closed when the API server has returned
	apiErr    error         // valid once apiDone is closed
	stopPrune context.CancelFunc
	pruned    chan struct{}

	done     chan struct{}
	stopping chan struct{}
	stop     func()
	mu       sync.Mutex
	err      error
}

// Start makes the state folder ready, opens the datastore, serves the API and
// installs the definitions. ctx bounds the start, not the life of the store:
// Stop ends that.
//
// ErrLocked and ErrDamaged tell a folder in use and a database in need of a
// person from other failures.
func Start(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, errors.Join(err, closeAll(o.Listeners))
	}
	captureLogs(o.Log)
	s := &Store{dir: o.Dir, log: o.Log, plain: plainKinds(o.CRDs), done: make(chan struct{}), stopping: make(chan struct{})}
	s.stop = sync.OnceFunc(s.shutdown)
	if err := s.start(ctx, o); err != nil {
		s.stop()
		_ = closeAll(o.Listeners) // where it did not get that far
		return nil, fmt.Errorf("starting the store: %w", explainFull(err, o.Dir))
	}
	go s.supervise()
	return s, nil
}

func closeAll(listeners []net.Listener) (err error) {
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (s *Store) start(ctx context.Context, o Options) (err error) {
	if s.lock, err = lockFolder(o.Dir); err != nil {
		return err
	}
	if o.Locked != nil {
		o.Locked()
	}
	known, err := readRecord(o.Dir)
	if err != nil {
		return err
	}
	ownFile := o.Endpoint == ""
	if ownFile {
		if err := checkDatabase(ctx, o.Dir, known.Database); err != nil {
			return err
		}
	}
	if err := ensurePKI(o.Dir, o.Hosts); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	certificates, err := followPKI(o.Dir)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	if s.ds, err = startDatastore(ctx, o.Endpoint, sqliteDSN(o.Dir)); err != nil {
		return err
	}
	if s.health, err = connectHealth(ctx, s.ds); err != nil {
		return err
	}
	if ownFile {
		if err := s.health.watchFile(o.Dir); err != nil {
			return err
		}
	}
	tcp, err := listen(o.Listen, &known)
	if err != nil {
		return err
	}
	kubeconfig := &kubeconfig{dir: o.Dir, address: tcp.Addr().String(), certificates: certificates, log: o.Log}
	certificates.followedBy(kubeconfig)
	if err := s.serve(ctx, listenTogether(tcp, o.Listeners), certificates, o.Finalizers); err != nil {
		return err
	}
	// This proves that writes work, and it wakes kine up: of what happens before
	// the first write that it sees, it tells only at the next poll, a second on.
	if err := s.health.write(ctx); err != nil {
		return fmt.Errorf("writing to the datastore: %w", err)
	}
	installer, err := newInstaller(s.api, ownFile)
	if err != nil {
		return err
	}
	if err := installer.install(ctx, append(o.CRDs[:len(o.CRDs):len(o.CRDs)], eventsCRD())); err != nil {
		return err
	}
	if err := s.startPruner(ctx); err != nil {
		return err
	}
	known.Database = known.Database || ownFile
	if err := known.write(o.Dir); err != nil {
		return err
	}
	return kubeconfig.write()
}

// serve runs the API server and waits until it answers.
func (s *Store) serve(ctx context.Context, tcp net.Listener, certificates *certificates, finalizers finalizing) error {
	api, err := newAPIServer(s.ds, tcp, certificates, finalizers)
	if err != nil {
		return errors.Join(fmt.Errorf("API server: %w", err), tcp.Close())
	}
	s.api, s.apiDone = api, make(chan struct{})
	if s.health.api, err = rest.UnversionedRESTClientFor(withoutVersion(api.config)); err != nil {
		return errors.Join(err, tcp.Close())
	}
	restore := keepNotifySocket()
	defer restore()
	runCtx, cancel := detached(ctx)
	s.stopAPI = cancel
	go func() {
		defer close(s.apiDone)
		s.apiErr = api.run(runCtx)
	}()
	return api.ready(ctx)
}

func (s *Store) startPruner(ctx context.Context) error {
	p, err := newPruner(s.api.config, s.log)
	if err != nil {
		return err
	}
	ctx, s.stopPrune = detached(ctx)
	s.pruned = make(chan struct{})
	go func() {
		defer close(s.pruned)
		p.run(ctx)
	}()
	return nil
}

// supervise notices a part that ends on its own, and takes down the rest.
func (s *Store) supervise() {
	select {
	case <-s.stopping:
		return
	case <-s.ds.died:
		s.fail(errDatastoreDied)
	case <-s.apiDone:
		s.fail(fmt.Errorf("the API server stopped serving: %w", s.apiErr))
	}
	s.stop()
}

func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// Config returns the configuration of a client in this process. Its requests
// do not leave the process, and are not limited in rate.
func (s *Store) Config() *rest.Config { return rest.CopyConfig(s.api.config) }

// Handle has the API server answer one more path, for clients that it knows.
func (s *Store) Handle(path string, h http.Handler) {
	s.api.server.GenericAPIServer.Handler.NonGoRestfulMux.Handle(path, h)
}

// KubeconfigPath names the file with which other programs of this machine's
// administrator reach the API.
func (s *Store) KubeconfigPath() string { return filepath.Join(s.dir, kubeconfigFile) }

// Done is closed when the store has ended, by Stop or on its own.
func (s *Store) Done() <-chan struct{} { return s.done }

// Err says why the store ended on its own. It is nil before that, and after
// Stop.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Check proves, within ctx, that the store can be read and written. A full
// disk, a database that was replaced and a dead datastore are errors.
func (s *Store) Check(ctx context.Context) error {
	select {
	case <-s.done:
		return errors.Join(errors.New("the store has ended"), s.Err())
	default:
	}
	if err := s.health.check(ctx); err != nil {
		return fmt.Errorf("store in %s: %w", s.dir, err)
	}
	return nil
}
