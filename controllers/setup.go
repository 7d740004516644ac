// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/policy"
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
	// Chassis is OVN's name of this host, empty while it is not known.
	Chassis() string
	Subscribe(fn func(vnet.Event))
}

// Options is what the reconcilers work with.
type Options struct {
	Northbound NorthboundSource
	Ports      HostSource
	// NAT is the host's rules between endpoints and the world. Nil: there are
	// none, and no port is published.
	NAT NAT
	// Sockets tells what of the host's own ports and addresses is used. May be nil.
	Sockets HostSockets
	// Names is what answers containers that ask for names. Nil: nobody does.
	Names NameServer
	// Node is this host's name.
	Node string
	// HostRoutes gives the ranges that this host routes elsewhere; no subnet
	// is chosen from them.
	HostRoutes func() ([]netip.Prefix, error)
	// Hold keeps OVN from the northbound database while that is filled anew. Nil:
	// nothing does.
	Hold Hold
	// Workers is the number of attachments worked on side by side. Default:
	// DefaultWorkers.
	Workers int
	// Apart registers the work of this host as a controller of its own, as it
	// is where several hosts share the central work.
	Apart bool
}

// Hold is what has OVN wait for a northbound database that was made anew.
type Hold interface {
	// Held tells whether it waits.
	Held() bool
	// Release says that the rows of all objects are there.
	Release(ctx context.Context)
}

// Finalizers are those that the reconcilers put on objects. An API that puts
// them on new objects by itself saves a write.
func Finalizers() map[schema.GroupResource][]string {
	return map[schema.GroupResource][]string{
		{Group: v1alpha1.GroupVersion.Group, Resource: "networks"}:    {v1alpha1.CentralFinalizer},
		{Group: v1alpha1.GroupVersion.Group, Resource: "attachments"}: {v1alpha1.CentralFinalizer, v1alpha1.NodeFinalizer},
		{Group: v1alpha1.GroupVersion.Group, Resource: "policies"}:    {v1alpha1.CentralFinalizer},
	}
}

// DefaultWorkers are as many as share a transaction of the northbound database: with
// fewer, each transaction waits for OVN, and all attachments behind it.
const DefaultWorkers = 128

// clientOfWriters is for reconcilers that read an object soon after they have written
// it: it has them wait until the cache has that. What follows from an older one would
// be refused as a conflict, after the API has done all its work.
func clientOfWriters(mgr ctrl.Manager) (client.Client, error) {
	return client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(),
		Scheme:     mgr.GetScheme(),
		Mapper:     mgr.GetRESTMapper(),
		Cache:      &client.CacheOptions{Reader: mgr.GetCache(), EnableReadYourWritesConsistency: new(true)},
		Log:        mgr.GetLogger(),
	})
}

// Setup registers every reconciler and connects the events of the databases to
// them.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	written, err := clientOfWriters(mgr)
	if err != nil {
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
		policies    = &Trigger{}
		policyBook  = NewPolicyBook()
		pruner      = NewPruner(c, o.Northbound, o.Ports, mgr.GetLogger().WithName("prune"))
	)
	log := mgr.GetLogger()
	recorder := mgr.GetEventRecorder("arca-network")
	everyNetwork := newSweeper(c, allNetworks, networks, log)
	everyAttachment := newSweeper(c, allAttachments, attachments, log)
	host := &PortReconciler{Client: written, Recorder: recorder, Ports: o.Ports, Logical: o.Northbound,
		Node: o.Node, Trigger: ports, Workers: o.Workers, Sockets: o.Sockets}
	book.node = o.Node
	uplinkPort := &UplinkReconciler{Client: c, Ports: o.Ports, Northbound: o.Northbound, Chassis: o.Ports.Chassis, Trigger: uplink}
	attachment := &AttachmentReconciler{Client: written, Recorder: recorder, Northbound: o.Northbound, Book: book,
		Policies: policyBook, PolicyTrigger: policies, Trigger: attachments, Networks: networks, Workers: o.Workers}
	reconcilers := []interface {
		SetupWithManager(ctrl.Manager) error
	}{
		&TopologyReconciler{Northbound: o.Northbound, Trigger: shared, OnChanged: func() {
			everyNetwork.Ask()
			uplink.Enqueue(topology.UplinkInterface)
		}},
		&NetworkReconciler{Client: written, Recorder: recorder, Northbound: o.Northbound, Book: book,
			Trigger: networks, Attachments: attachments, Policies: policies, Workers: max(1, o.Workers/4)},
		attachment,
		&PolicyReconciler{Client: c, Recorder: recorder, Northbound: o.Northbound, Book: policyBook,
			Trigger: policies, Attachments: attachments},
		uplinkPort,
	}
	if o.NAT != nil {
		rules := &Trigger{}
		reconcilers = append(reconcilers, &NATReconciler{Client: c, NAT: o.NAT, Node: o.Node, Trigger: rules,
			OnGuarded: func() { uplink.Enqueue(topology.UplinkInterface) }})
		uplinkPort.Guarded, host.Flows = o.NAT.Applied, o.NAT
		o.NAT.Subscribe(func(e nat.Event) {
			rules.Enqueue(natName)
			if e == nat.HostChanged {
				attachments.Enqueue(attachment.waiting.take()...)
			}
		})
	}
	if o.Names != nil {
		uplinkPort.OnPort = o.Names.Rebind
		reconcilers = append(reconcilers, &NameReconciler{Client: c, Names: o.Names})
	}
	lookAtAll := func() {
		shared.Enqueue(topology.SharedOwner().Name)
		uplink.Enqueue(topology.UplinkInterface)
		policies.Enqueue(allPolicies)
		everyNetwork.Ask()
		everyAttachment.Ask()
		pruner.Ask()
	}
	restore := &restorer{client: c, northbound: o.Northbound, policies: policyBook, uplink: uplinkPort.bind, hold: o.Hold,
		then: lookAtAll, log: log.WithName("restore"), bell: newBell()}
	runnables := []manager.Runnable{everyNetwork, everyAttachment, pruner, restore}
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

	held := func() bool { return o.Hold != nil && o.Hold.Held() }
	o.Northbound.Subscribe(func(e ovnsync.Event) {
		switch {
		case e.New || e.All && held():
			restore.Ask()
		case e.All:
			lookAtAll()
		case e.Owner == topology.UplinkOwner():
			uplink.Enqueue(topology.UplinkInterface)
		case e.Owner.Kind == topology.KindTopology:
			shared.Enqueue(topology.SharedOwner().Name)
		case e.Owner.Kind == topology.KindNetwork:
			networks.Enqueue(e.Owner.Name)
		case e.Owner.Kind == policy.KindPolicy:
			policyBook.Distrust()
			policies.Enqueue(allPolicies)
		case e.Owner.Kind == topology.KindAttachment:
			attachments.Enqueue(e.Owner.Name)
			ports.Enqueue(e.Owner.Name)
		}
	})
	o.Ports.Subscribe(func(e vnet.Event) {
		switch {
		case e.All:
			uplink.Enqueue(topology.UplinkInterface)
			if o.Apart || !held() { // or the restore would wait for them, and asks afterwards
				everyPort.Ask()
			}
			pruner.Ask()
		case e.Owner.Kind == topology.KindTopology:
			uplink.Enqueue(topology.UplinkInterface)
		case e.Owner.Kind == topology.KindAttachment:
			ports.Enqueue(e.Owner.Name)
		}
	})
	return nil
}
