// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"k8s.io/client-go/rest"
)

// health proves that the store works by using it.
type health struct {
	etcd *clientv3.Client
	api  rest.Interface
	// file is the database that was opened, so that one put in its place, or
	// its removal, does not go unnoticed. Empty if it is not ours.
	file   string
	opened os.FileInfo
}

// healthKey is beside the objects, not one of them: a check must not wake
// whoever watches.
const healthKey = keyPrefix + "-health"

// connectHealth reaches the datastore, so that one that is not there is
// reported before the API server waits for it.
func connectHealth(ctx context.Context, ds *datastore) (*health, error) {
	config := clientv3.Config{Endpoints: ds.endpoints, Logger: zap.NewNop(), DialTimeout: 10 * time.Second}
	if ds.dial != nil {
		config.DialOptions = append(config.DialOptions, grpc.WithContextDialer(dialAddress(ds.dial)))
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("datastore: %w", err)
	}
	h := &health{etcd: client}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if _, err := client.Get(ctx, healthKey); err != nil {
		return nil, errors.Join(fmt.Errorf("datastore does not answer: %w", err), client.Close())
	}
	return h, nil
}

// watchFile remembers which file is the database.
func (h *health) watchFile(dir string) error {
	h.file = filepath.Join(dir, databaseFile)
	var err error
	h.opened, err = os.Stat(h.file)
	return err
}

// check reads through the API and writes to the datastore.
func (h *health) check(ctx context.Context) error {
	if h.file != "" {
		if now, err := os.Stat(h.file); err != nil || !os.SameFile(now, h.opened) {
			return fmt.Errorf("%w: %s was removed or replaced under the running store", ErrDamaged, h.file)
		}
	}
	err := h.api.Get().AbsPath("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").
		Param("limit", "1").Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if err := h.write(ctx); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func (h *health) write(ctx context.Context) error {
	current, err := h.etcd.Get(ctx, healthKey)
	if err != nil {
		return err
	}
	var revision int64
	if len(current.Kvs) > 0 {
		revision = current.Kvs[0].ModRevision
	}
	// Losing against another check is fine: a write took place.
	_, err = h.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(healthKey), "=", revision)).
		Then(clientv3.OpPut(healthKey, strconv.FormatInt(time.Now().Unix(), 10))).
		Else(clientv3.OpGet(healthKey)).
		Commit()
	return err
}
