// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// The base: traffic runs from a to b; c is for faults of a container of its
// own; d is in another network, whose subnet was chosen.
var baseContainers = []string{"a", "b", "c", "d"}

const (
	trafficNetwork = "one"
	otherNetwork   = "two"
	addressOfB     = "10.1.0.20"
)

func network(name string, cidrs ...string) *v1alpha1.Network {
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, c := range cidrs {
		n.Spec.Subnets = append(n.Spec.Subnets, v1alpha1.Subnet{CIDR: c})
	}
	return n
}

// attachment is one of type Veth. A namespace holds one: it has one default route.
func attachment(name, network, netns string) *v1alpha1.Attachment {
	return &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.AttachmentSpec{
			Network:   network,
			Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: "/run/netns/" + netns},
		},
	}
}

func (w *world) applyBase() error {
	b := attachment("b", trafficNetwork, "b")
	b.Spec.Addresses = []string{addressOfB}
	for _, o := range []client.Object{
		network(trafficNetwork, "10.1.0.0/24"), network(otherNetwork),
		attachment("a", trafficNetwork, "a"), b, attachment("c", trafficNetwork, "c"), attachment("d", otherNetwork, "d"),
	} {
		if err := w.clientNow().Create(context.Background(), o); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is what must not change: of each object, what it was given.
type snapshot map[string]string

// differences lists what is another, or missing, in now.
func (s snapshot) differences(now snapshot) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if now[name] == "" {
			errs = append(errs, fmt.Errorf("%s is gone", name))
		} else if now[name] != s[name] {
			errs = append(errs, fmt.Errorf("%s was %s, is %s", name, s[name], now[name]))
		}
	}
	return errors.Join(errs...)
}

// lists reads all objects.
func (w *world) lists(ctx context.Context) ([]v1alpha1.Network, []v1alpha1.Attachment, error) {
	var networks v1alpha1.NetworkList
	var attachments v1alpha1.AttachmentList
	if err := w.clientNow().List(ctx, &networks); err != nil {
		return nil, nil, err
	}
	err := w.clientNow().List(ctx, &attachments)
	return networks.Items, attachments.Items, err
}

func (w *world) snapshot(ctx context.Context) (snapshot, error) {
	networks, attachments, err := w.lists(ctx)
	if err != nil {
		return nil, err
	}
	s := snapshot{}
	for _, n := range networks {
		s["network "+n.Name] = fmt.Sprintf("%s %v", n.UID, n.Status.Subnets)
	}
	for _, a := range attachments {
		s["attachment "+a.Name] = strings.Join([]string{string(a.UID), a.Status.MAC, fmt.Sprint(a.Status.Addresses), a.Status.PortName}, " ")
	}
	return s, nil
}

// untilReady waits until all objects are Ready for their generation, or those
// whose names among holds.
func (w *world) untilReady(ctx context.Context, among func(name string) bool) error {
	return until(ctx, "Ready", func() error { return w.allReady(ctx, among) })
}

func (w *world) allReady(ctx context.Context, among func(name string) bool) error {
	networks, attachments, err := w.lists(ctx)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if among == nil || among(n.Name) {
			err = errors.Join(err, ready("network", &n, n.Status.ObservedGeneration, n.Status.Conditions))
		}
	}
	for _, a := range attachments {
		if among == nil || among(a.Name) {
			err = errors.Join(err, ready("attachment", &a, a.Status.ObservedGeneration, a.Status.Conditions))
		}
	}
	return err
}

func ready(kind string, o client.Object, observed int64, conditions []metav1.Condition) error {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case o.GetDeletionTimestamp() != nil:
		return fmt.Errorf("%s %s is being deleted", kind, o.GetName())
	case c == nil:
		return fmt.Errorf("%s %s has no condition Ready", kind, o.GetName())
	case c.Status != metav1.ConditionTrue:
		return fmt.Errorf("%s %s is not Ready: %s: %s", kind, o.GetName(), c.Reason, c.Message)
	case observed != o.GetGeneration() || c.ObservedGeneration != o.GetGeneration():
		return fmt.Errorf("%s %s: generation %d was not looked at yet", kind, o.GetName(), o.GetGeneration())
	}
	return nil
}

// untilGone waits until no object has a name that is among them.
func (w *world) untilGone(ctx context.Context, among func(name string) bool) error {
	return until(ctx, "the end of what was deleted", func() error {
		networks, attachments, err := w.lists(ctx)
		if err != nil {
			return err
		}
		for _, n := range networks {
			if among(n.Name) {
				return fmt.Errorf("network %s is still there", n.Name)
			}
		}
		for _, a := range attachments {
			if among(a.Name) {
				return fmt.Errorf("attachment %s is still there", a.Name)
			}
		}
		return nil
	})
}

// deleteAll deletes every object and waits for its end.
func (w *world) deleteAll(ctx context.Context) error {
	return w.deleteAmong(ctx, func(string) bool { return true })
}

func (w *world) deleteAmong(ctx context.Context, among func(name string) bool) error {
	networks, attachments, err := w.lists(ctx)
	if err != nil {
		return err
	}
	for _, a := range attachments {
		if among(a.Name) {
			err = errors.Join(err, client.IgnoreNotFound(w.clientNow().Delete(ctx, &a)))
		}
	}
	for _, n := range networks {
		if among(n.Name) {
			err = errors.Join(err, client.IgnoreNotFound(w.clientNow().Delete(ctx, &n)))
		}
	}
	if err != nil {
		return err
	}
	return w.untilGone(ctx, among)
}

// answered tells an answer that says no from one that says nothing: after the
// latter nobody knows whether the write was done.
func answered(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}
