// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
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

	ask chan struct{}
}

// NewPruner returns a pruner that must be started.
func NewPruner(c client.Reader, nb Northbound, ports HostPorts, log logr.Logger) *Pruner {
	p := &Pruner{Client: c, Northbound: nb, Ports: ports, Log: log, ask: make(chan struct{}, 1)}
	p.Ask()
	return p
}

// Ask asks for a run. It does not wait, and any number of calls before a run
// are one.
func (p *Pruner) Ask() {
	select {
	case p.ask <- struct{}{}:
	default:
	}
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
		case <-p.ask:
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
	rows, err := p.Northbound.Prune(ctx, func(o ovnsync.Owner) bool {
		return p.lives(ctx, o.Kind, o.Name, o.UID)
	})
	if rows > 0 {
		p.Log.Info("Removed northbound rows without an object", "rows", rows)
	}
	if err != nil || p.Ports == nil {
		return err
	}
	ports, err := p.Ports.Prune(ctx, func(o vnet.Owner) bool {
		return p.lives(ctx, o.Kind, o.Name, o.UID)
	})
	if ports > 0 {
		p.Log.Info("Removed ports without an object", "ports", ports)
	}
	return err
}

// lives tells whether an owner exists. It reads the cache that the reconcilers
// read, so what they have made is never ahead of it. In doubt it does.
func (p *Pruner) lives(ctx context.Context, kind, name, uid string) bool {
	var o client.Object
	switch kind {
	case topology.KindNetwork:
		o = &v1alpha1.Network{}
	case topology.KindAttachment:
		o = &v1alpha1.Attachment{}
	default:
		return true
	}
	err := p.Client.Get(ctx, client.ObjectKey{Name: name}, o)
	if apierrors.IsNotFound(err) {
		return false
	}
	return err != nil || string(o.GetUID()) == uid
}
