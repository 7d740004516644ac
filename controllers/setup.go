// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
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
	Names      NameServer
	// Node is this host's name.
	Node string
	// HostRoutes gives the ranges that this host routes elsewhere; no subnet
	// is chosen from them.
	HostRoutes func() ([]netip.Prefix, error)
	// Workers is the number of attachments worked on side by side. Default: 64.
	Workers int
	// Apart registers the work of this host as a controller of its own, as it
	// is where several hosts share the central work.
	Apart bool
}

// Finalizers are those that the reconcilers put on objects. An API that puts
// them on new objects by itself saves a write.
func Finalizers() map[schema.GroupResource][]string {
	return map[schema.GroupResource][]string{
		{Group: v1alpha1.GroupVersion.Group, Resource: "networks"}:    {v1alpha1.CentralFinalizer},
		{Group: v1alpha1.GroupVersion.Group, Resource: "attachments"}: {v1alpha1.CentralFinalizer, v1alpha1.NodeFinalizer},
	}
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
	recorder := mgr.GetEventRecorder("arca-network")
	everyNetwork := newSweeper(c, allNetworks, networks, log)
	everyAttachment := newSweeper(c, allAttachments, attachments, log)
	host := &PortReconciler{Client: c, Recorder: recorder, Ports: o.Ports, Logical: o.Northbound,
		Node: o.Node, Trigger: ports, Workers: o.Workers}
	attachment := &AttachmentReconciler{Client: c, Recorder: recorder, Northbound: o.Northbound, Book: book,
		Trigger: attachments, Networks: networks, Workers: o.Workers}
	reconcilers := []interface {
		SetupWithManager(ctrl.Manager) error
	}{
		&TopologyReconciler{Northbound: o.Northbound, Trigger: shared, OnChanged: everyNetwork.Ask},
		&NetworkReconciler{Client: c, Recorder: recorder, Northbound: o.Northbound, Book: book,
			Trigger: networks, Attachments: attachments, Workers: max(1, o.Workers/4)},
		attachment,
		&UplinkReconciler{Client: c, Ports: o.Ports, Trigger: uplink, OnPort: o.Names.Rebind},
		&NameReconciler{Client: c, Names: o.Names},
	}
	runnables := []manager.Runnable{everyNetwork, everyAttachment, pruner}
	everyPort := everyAttachment
	if o.Apart {
		everyPort = newSweeper(c, allAttachments, ports, log)
		reconcilers, runnables = append(reconcilers, host), append(runnables, everyPort)
	} else {
		attachment.Host, ports = host, attachments
	}
	for _, r := range reconcilers {
		if err := r.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	for _, r := range runnables {
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
