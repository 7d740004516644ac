// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// NorthboundSource is the northbound database with its events.
type NorthboundSource interface {
	Northbound
	PortUp
	Subscribe(fn func(ovnsync.Event))
}

// HostSource is this host's ports with their events.
type HostSource interface {
	HostPorts
	Subscribe(fn func(vnet.Event))
}

// Options is what the reconcilers work with.
type Options struct {
	Northbound NorthboundSource
	Ports      HostSource
	// Node is this host's name.
	Node string
	// HostRoutes gives the ranges that this host routes elsewhere; no subnet
	// is chosen from them.
	HostRoutes func() ([]netip.Prefix, error)
	// Workers is the number of attachments worked on side by side. Default: 64.
	Workers int
}

// Setup registers every reconciler and connects the events of the databases to
// them.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if o.Workers == 0 {
		o.Workers = 64
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	var (
		c           = mgr.GetClient()
		book        = NewBook(o.HostRoutes)
		shared      = &Trigger{}
		networks    = &Trigger{}
		attachments = &Trigger{}
		ports       = &Trigger{}
		uplink      = &Trigger{}
		pruner      = NewPruner(c, o.Northbound, o.Ports, mgr.GetLogger().WithName("prune"))
	)
	log := mgr.GetLogger()
	everyNetwork := newSweeper(c, allNetworks, networks, log)
	everyAttachment := newSweeper(c, allAttachments, attachments, log)
	everyPort := newSweeper(c, allAttachments, ports, log)
	for _, r := range []interface {
		SetupWithManager(ctrl.Manager) error
	}{
		&TopologyReconciler{Northbound: o.Northbound, Trigger: shared, OnChanged: everyNetwork.Ask},
		&NetworkReconciler{Client: c, Recorder: mgr.GetEventRecorder("arca-network"), Northbound: o.Northbound, Book: book,
			Trigger: networks, Attachments: attachments, Workers: max(1, o.Workers/4)},
		&AttachmentReconciler{Client: c, Recorder: mgr.GetEventRecorder("arca-network"), Northbound: o.Northbound, Book: book,
			Trigger: attachments, Networks: networks, Workers: o.Workers},
		&PortReconciler{Client: c, Recorder: mgr.GetEventRecorder("arca-network"), Ports: o.Ports, Logical: o.Northbound,
			Node: o.Node, Trigger: ports, Workers: o.Workers},
		&UplinkReconciler{Ports: o.Ports, Trigger: uplink},
	} {
		if err := r.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	for _, r := range []manager.Runnable{everyNetwork, everyAttachment, everyPort, pruner} {
		if err := mgr.Add(r); err != nil {
			return err
		}
	}

	o.Northbound.Subscribe(func(e ovnsync.Event) {
		switch {
		case e.All:
			shared.Enqueue(topology.SharedOwner().Name)
			everyNetwork.Ask()
			everyAttachment.Ask()
			pruner.Ask()
		case e.Owner.Kind == topology.KindTopology:
			shared.Enqueue(topology.SharedOwner().Name)
		case e.Owner.Kind == topology.KindNetwork:
			networks.Enqueue(e.Owner.Name)
		case e.Owner.Kind == topology.KindAttachment:
			attachments.Enqueue(e.Owner.Name)
			ports.Enqueue(e.Owner.Name)
		}
	})
	o.Ports.Subscribe(func(e vnet.Event) {
		switch {
		case e.All:
			uplink.Enqueue(topology.UplinkInterface)
			everyPort.Ask()
			pruner.Ask()
		case e.Owner.Kind == topology.KindTopology:
			uplink.Enqueue(topology.UplinkInterface)
		case e.Owner.Kind == topology.KindAttachment:
			ports.Enqueue(e.Owner.Name)
		}
	})
	return nil
}
