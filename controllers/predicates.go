// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Which changes of an object wake which reconciler. What passes needlessly costs
// a pass, often over all objects; what is held back needlessly is never done.

// updated lets an update pass that changed something. One of another kind passes.
func updated[T client.Object](changed func(before, now T) bool) func(event.UpdateEvent) bool {
	return func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(T)
		now, ok2 := e.ObjectNew.(T)
		return !ok1 || !ok2 || changed(before, now)
	}
}

// specChanged lets everything pass but a change of status alone. Of the status
// it lets pass the conditions that the reconciler writes itself: it may have
// found nothing to write because its cache had not caught up with its last
// write yet, and looks again when it has.
func specChanged(own ...string) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
			!e.ObjectNew.GetDeletionTimestamp().Equal(e.ObjectOld.GetDeletionTimestamp()) ||
			len(e.ObjectOld.GetFinalizers()) != len(e.ObjectNew.GetFinalizers()) {
			return true
		}
		before, ok1 := e.ObjectOld.(conditioned)
		now, ok2 := e.ObjectNew.(conditioned)
		if !ok1 || !ok2 {
			return true
		}
		for _, t := range own {
			x, y := findCondition(before, t), findCondition(now, t)
			if (x == nil) != (y == nil) || x != nil && *x != *y {
				return true
			}
		}
		return false
	}}
}

// hasSubnets lets pass networks that are known at the start. A new one gets its
// subnets later: until then nothing depends on it.
func hasSubnets(e event.CreateEvent) bool {
	n, ok := e.Object.(*v1alpha1.Network)
	return !ok || len(n.Status.Subnets) > 0
}

// attachmentsNetworkChanged lets pass what attachments take from their network.
func attachmentsNetworkChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: updated(func(before, now *v1alpha1.Network) bool {
		return waysDiffer(before, now) || before.AsInForce().EffectiveMTU() != now.AsInForce().EffectiveMTU() ||
			isTrue(before, v1alpha1.ConditionAccepted) != isTrue(now, v1alpha1.ConditionAccepted)
	})}
}

// policiesNetworkChanged lets pass what the rows of policies take from networks.
func policiesNetworkChanged() predicate.Predicate {
	return predicate.Funcs{CreateFunc: hasSubnets, UpdateFunc: updated(func(before, now *v1alpha1.Network) bool {
		return before.Generation != now.Generation || !slices.Equal(before.Status.Subnets, now.Status.Subnets) ||
			isTrue(before, v1alpha1.ConditionAccepted) != isTrue(now, v1alpha1.ConditionAccepted)
	})}
}

// natNetworkChanged lets pass what the host's rules take from networks.
func natNetworkChanged() predicate.Predicate {
	return predicate.Funcs{CreateFunc: hasSubnets, UpdateFunc: updated(waysDiffer)}
}

// waysDiffer tells whether a network's ways out are others.
func waysDiffer(before, now *v1alpha1.Network) bool {
	before, now = before.AsInForce(), now.AsInForce()
	return !slices.Equal(before.Status.Subnets, now.Status.Subnets) ||
		before.Spec.Internal != now.Spec.Internal || before.EffectiveEgressMode() != now.EffectiveEgressMode()
}

// uplinkNetworkChanged lets pass what the uplink's port takes from networks: its
// routes.
func uplinkNetworkChanged() predicate.Predicate {
	return predicate.Funcs{CreateFunc: hasSubnets, UpdateFunc: updated(func(before, now *v1alpha1.Network) bool {
		return !slices.Equal(before.Status.Subnets, now.Status.Subnets) ||
			before.AsInForce().EffectiveMTU() != now.AsInForce().EffectiveMTU()
	})}
}

// natAttachmentChanged lets pass attachments that publish ports, or did.
func natAttachmentChanged() predicate.Predicate {
	publishes := func(o client.Object) bool {
		a, ok := o.(*v1alpha1.Attachment)
		return !ok || len(a.Status.Ports) > 0
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return publishes(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return publishes(e.Object) },
		UpdateFunc: updated(func(before, now *v1alpha1.Attachment) bool {
			return (publishes(before) || publishes(now)) &&
				(!slices.Equal(before.Status.Ports, now.Status.Ports) ||
					!slices.Equal(before.Status.Addresses, now.Status.Addresses) ||
					before.DeletionTimestamp.IsZero() != now.DeletionTimestamp.IsZero())
		}),
	}
}

// portAttachmentChanged lets pass what a port takes from its attachment.
func portAttachmentChanged() predicate.Predicate {
	return predicate.Or(specChanged(v1alpha1.ConditionReady), predicate.Funcs{
		UpdateFunc: updated(func(before, now *v1alpha1.Attachment) bool {
			return !slices.Equal(before.Status.Addresses, now.Status.Addresses) ||
				!slices.Equal(before.Status.LinkLocalAddresses, now.Status.LinkLocalAddresses) ||
				!slices.Equal(before.Status.Gateways, now.Status.Gateways) ||
				before.Status.MAC != now.Status.MAC || before.Status.MTU != now.Status.MTU ||
				before.Status.RouteMetric != now.Status.RouteMetric ||
				isTrue(before, v1alpha1.ConditionProgrammed) != isTrue(now, v1alpha1.ConditionProgrammed)
		}),
	})
}
