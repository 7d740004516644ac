// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers/generic"
	"github.com/k3s-io/kine/pkg/endpoint"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

// kine's own settings. It has no defaults for them outside of its command.
const (
	compactInterval  = 5 * time.Minute
	compactTimeout   = 5 * time.Second
	compactMinRetain = 1000
	compactBatchSize = 1000
	pollBatchSize    = 500
	pollInterval     = time.Second
)

// startBackend starts kine on a socket in the state folder, or, for etcd,
// only says where it is.
func (s *Store) startBackend(o Options) (storagebackend.TransportConfig, error) {
	var transport storagebackend.TransportConfig
	dir, err := os.Open(o.Dir)
	if err != nil {
		return transport, err
	}
	source := o.Endpoint
	if source == "" {
		source = "sqlite://" + databasePath(o.Dir) + "?" + sqlitePragmas
	}
	ctx, cancel := context.WithCancel(context.Background())
	wg := &sync.WaitGroup{}
	config, err := endpoint.Listen(ctx, endpoint.Config{
		// Through the folder's descriptor: a socket's path has at most 107
		// bytes, a state folder's may have more.
		Listener:             fmt.Sprintf("unix:///proc/self/fd/%d/kine.sock", dir.Fd()),
		Endpoint:             source,
		WaitGroup:            wg,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{MaxIdle: 4, MaxOpen: 8},
		NotifyInterval:       5 * time.Second,
		EmulatedETCDVersion:  "3.6.11",
		CompactInterval:      compactInterval,
		CompactTimeout:       compactTimeout,
		CompactMinRetain:     compactMinRetain,
		CompactBatchSize:     compactBatchSize,
		PollBatchSize:        pollBatchSize,
		PollInterval:         pollInterval,
	})
	s.stopBackend = cancel
	s.backendDone = func() {
		wg.Wait()
		_ = dir.Close()
	}
	if err != nil {
		return transport, err
	}
	transport.ServerList = config.Endpoints
	transport.CertFile = config.TLSConfig.CertFile
	transport.KeyFile = config.TLSConfig.KeyFile
	transport.TrustedCAFile = config.TLSConfig.CAFile
	return transport, nil
}
