// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// Pruner removes what is marked as ours and belongs to no object: rows and
// ports of objects that went while nobody watched, as after a store was
// restored from a backup.
type Pruner struct {
	Client     client.Reader
	Northbound Northbound
	// Ports may be nil, on a host without a node role.
	Ports HostPorts
	Log   logr.Logger

	bell // asks for a run
}

// NewPruner returns a pruner that must be started.
func NewPruner(c client.Reader, nb Northbound, ports HostPorts, log logr.Logger) *Pruner {
	p := &Pruner{Client: c, Northbound: nb, Ports: ports, Log: log, bell: newBell()}
	p.Ask()
	return p
}

// retryPrune is how long a failed run waits for the next. What repairs it, a
// database that answers again, asks sooner.
const retryPrune = 30 * time.Second

// Start runs until ctx is done.
func (p *Pruner) Start(ctx context.Context) error {
	retry := time.NewTimer(retryPrune)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.bell:
		case <-retry.C:
		}
		if err := p.run(ctx); err != nil && ctx.Err() == nil {
			p.Log.V(1).Info("Pruning failed; trying again later", "error", err.Error())
			retry.Reset(retryPrune)
		}
	}
}

func (p *Pruner) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	living := &livingObjects{client: p.Client}
	rows, err := p.Northbound.Prune(ctx, func(o ovnsync.Owner) bool {
		return living.has(ctx, o.Kind, o.UID)
	})
	if rows > 0 {
		p.Log.Info("Removed northbound rows without an object", "rows", rows)
	}
	if err = errors.Join(err, living.err); err != nil || p.Ports == nil {
		return err
	}
	living = &livingObjects{client: p.Client}
	ports, err := p.Ports.Prune(ctx, func(o vnet.Owner) bool {
		return living.has(ctx, o.Kind, o.UID)
	})
	if ports > 0 {
		p.Log.Info("Removed ports without an object", "ports", ports)
	}
	return errors.Join(err, living.err)
}

// livingObjects are the UIDs of all objects at the time of the first question.
// That comes after the target was read, and from the cache that the reconcilers
// read: what they have made by then is never ahead of it. Owners are known by
// UID, for the mark on a link has no room for a name. In doubt an owner lives.
type livingObjects struct {
	client client.Reader
	uids   map[string]map[string]bool // by kind
	err    error
}

func (l *livingObjects) has(ctx context.Context, kind, uid string) bool {
	if l.uids == nil && l.err == nil {
		l.uids, l.err = readUIDs(ctx, l.client)
	}
	of, known := l.uids[kind] // not known: of no object, as what all policies stand for
	return l.err != nil || !known || of[uid]
}

func readUIDs(ctx context.Context, c client.Reader) (map[string]map[string]bool, error) {
	out := map[string]map[string]bool{}
	for kind, list := range map[string]client.ObjectList{
		topology.KindNetwork:    allNetworks(),
		topology.KindAttachment: allAttachments(),
	} {
		if err := c.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing objects of kind %s: %w", kind, err)
		}
		out[kind] = map[string]bool{}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			out[kind][string(o.(client.Object).GetUID())] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
