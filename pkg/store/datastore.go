// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	_ "github.com/k3s-io/kine/pkg/drivers/mysql" // endpoint mysql://
	_ "github.com/k3s-io/kine/pkg/drivers/pgsql" // endpoint postgres://
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

// datastore is what the API server's etcd clients talk to.
type datastore struct {
	// endpoints are etcd URLs; dial reaches them over memory, or is nil for a
	// real etcd.
	endpoints []string
	dial      utilnet.DialFunc

	// compaction is the interval at which the API server has to compact: kine
	// does so by itself, etcd does not.
	compaction time.Duration

	// died is closed when kine stopped serving without being told to.
	died chan struct{}
	stop func()
}

// startDatastore starts kine on the endpoint, or leaves the endpoint to the API
// server if it is an etcd. dsn is SQLite's, for an empty endpoint.
func startDatastore(ctx context.Context, endpoint, dsn string) (*datastore, error) {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	switch scheme {
	case "http", "https":
		return &datastore{
			endpoints:  strings.Split(endpoint, ","),
			compaction: storagebackend.DefaultCompactInterval,
			died:       make(chan struct{}),
			stop:       func() {},
		}, nil
	case "sqlite":
		dsn = rest
	}

	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	watches := &watchGate{}
	end := func() {
		cancel()
		watches.shut()
		running.Wait()
	}
	backend, err := openBackend(ctx, &running, watches, endpoint, dsn)
	if err == nil {
		err = backend.Start(ctx)
	}
	if err != nil {
		end()
		return nil, err
	}
	return serveBackend(backend, end), nil
}

// openBackend opens a database through kine.
func openBackend(ctx context.Context, running *sync.WaitGroup, watches *watchGate, endpoint, dsn string) (server.Backend, error) {
	config := &drivers.Config{
		Endpoint:       endpoint,
		DataSourceName: dsn,
		// History is for watches that resume and for continued lists. All of
		// these have to be set: a zero would disable the thing or fail.
		CompactInterval:  5 * time.Minute,
		CompactTimeout:   10 * time.Second,
		CompactMinRetain: 1000,
		CompactBatchSize: 1000,
		PollBatchSize:    500,
		PollInterval:     time.Second,
	}
	if endpoint == "" || strings.HasPrefix(endpoint, "sqlite://") {
		_, dialect, err := sqlite.NewVariant(ctx, running, "sqlite3", config)
		if err != nil {
			return nil, err
		}
		if err := checkDurable(ctx, dialect.DB); err != nil {
			return nil, err
		}
		return newSQLiteBackend(dialect, running, watches, config), nil
	}
	// The endpoint may carry a password: it is not repeated in errors.
	_, backend, err := drivers.New(ctx, running, config)
	if err != nil {
		return nil, fmt.Errorf("datastore endpoint: %w", err)
	}
	return verifiedBackend{backend}, nil
}

// serveBackend serves kine's etcd API over memory. closeBackend is called once
// nothing uses the backend any more.
func serveBackend(backend server.Backend, closeBackend func()) *datastore {
	const (
		// What etcd says that it can do, which decides what a client asks for.
		emulatedVersion  = "3.6.11"
		progressInterval = 5 * time.Second
		maxRequest       = 4 << 20 // an API server takes bodies up to 3 MiB
	)
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.MaxSendMsgSize(math.MaxInt32))
	server.New(backend, "http", progressInterval, emulatedVersion).Register(srv)
	listener := newMemoryListener()

	d := &datastore{
		endpoints: []string{"http://datastore.internal:2379"},
		dial:      listener.Dial,
		died:      make(chan struct{}),
	}
	served := make(chan error, 1)
	stopping := make(chan struct{})
	go func() {
		served <- srv.Serve(listener)
		select {
		case <-stopping:
		default:
			close(d.died)
		}
	}()
	d.stop = func() {
		close(stopping)
		// A watch that a client forgot must not hold up the end.
		timer := time.AfterFunc(2*time.Second, srv.Stop)
		srv.GracefulStop()
		timer.Stop()
		<-served
		closeBackend()
	}
	return d
}

// lookup is dial in the form in which an API server's etcd clients take it.
func (d *datastore) lookup() egressselector.Lookup {
	if d.dial == nil {
		return nil
	}
	return func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return d.dial, nil }
}

var errDatastoreDied = errors.New("the datastore stopped serving")

var _ net.Listener = (*memoryListener)(nil)
