// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// create makes an object, or finds the one that is there already. One that is
// just being deleted is waited for.
func (s *Server) create(ctx context.Context, sub *subscription, want, have object) (made bool, err error) {
	for {
		fresh := want.DeepCopyObject().(object)
		err := s.api.Create(ctx, fresh)
		if err == nil {
			copyInto(fresh, have)
			return true, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return false, err
		}
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(want), have); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return false, err
		}
		if have.GetDeletionTimestamp().IsZero() {
			return false, nil
		}
		if err := s.awaitDeleted(ctx, sub, have); err != nil {
			return false, err
		}
	}
}

func copyInto(from, to object) {
	switch f := from.(type) {
	case *v1alpha1.Network:
		*to.(*v1alpha1.Network) = *f
	case *v1alpha1.Attachment:
		*to.(*v1alpha1.Attachment) = *f
	case *v1alpha1.Policy:
		*to.(*v1alpha1.Policy) = *f
	}
}

// settle waits until a condition of the object is true, for its present
// generation, and returns the object as it is then. An object that is not
// accepted is an error.
func (s *Server) settle(ctx context.Context, sub *subscription, have object, until string, fields fieldMap) (object, error) {
	defer sub.widen(false)
	uid, generation := have.GetUID(), have.GetGeneration()
	latest := have
	is := func(o object, gone bool) (bool, error) {
		if gone || o != nil && !o.GetDeletionTimestamp().IsZero() {
			return false, status.Errorf(codes.Aborted, "%s %s was deleted while it was waited for", kindOf(have), have.GetName())
		}
		if o.GetGeneration() < generation {
			return false, nil // older than what was written
		}
		latest = o
		if c := current(o, v1alpha1.ConditionAccepted); c != nil && c.Status == metav1.ConditionFalse {
			stands, err := s.stands(ctx, o, *c)
			if err != nil {
				return false, err
			}
			if stands {
				return false, refused(o, *c, fields)
			}
			sub.widen(true)
			return false, nil
		}
		c := current(o, until)
		return c != nil && c.Status == metav1.ConditionTrue, nil
	}
	if done, err := is(have, false); done || err != nil {
		return have, err
	}
	err := sub.await(ctx, uid, is)
	if err != nil && ctx.Err() != nil {
		missing := metav1.Condition{Type: until, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending, Message: "not looked at yet"}
		for _, t := range []string{until, v1alpha1.ConditionProgrammed, v1alpha1.ConditionAccepted} {
			if c := current(latest, t); c != nil && c.Status != metav1.ConditionTrue {
				missing = *c
			}
		}
		return latest, unfinished(ctx, latest, missing)
	}
	return latest, err
}

// current is a condition that was found for the object's present generation.
func current(o object, conditionType string) *metav1.Condition {
	c := meta.FindStatusCondition(*o.GetConditions(), conditionType)
	if c == nil || c.ObservedGeneration < o.GetGeneration() {
		return nil
	}
	return c
}

// stands tells whether a refusal holds by what objects there are now. It may be
// older than the deletion of what it was for, or of a moment in which a
// controller did not know the network yet; then it is decided anew by itself.
func (s *Server) stands(ctx context.Context, o object, c metav1.Condition) (bool, error) {
	switch o := o.(type) {
	case *v1alpha1.Attachment:
		if c.Reason == v1alpha1.ReasonNetworkNotFound {
			err := s.api.Get(ctx, client.ObjectKey{Name: o.Spec.Network}, &v1alpha1.Network{})
			if client.IgnoreNotFound(err) != nil {
				return false, err
			}
			return err != nil, nil
		}
		if c.Reason == v1alpha1.ReasonNetworkNotAccepted {
			n := &v1alpha1.Network{}
			if err := s.api.Get(ctx, client.ObjectKey{Name: o.Spec.Network}, n); err != nil {
				return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
			}
			a := current(n, v1alpha1.ConditionAccepted)
			return a != nil && a.Status == metav1.ConditionFalse, nil
		}
	case *v1alpha1.Policy:
		return true, nil
	}
	if s.options.Refuses == nil {
		return true, nil
	}
	// One at a time: it looks at all objects.
	unlock, err := s.locks.write(ctx, "refusals")
	if err != nil {
		return false, err
	}
	defer unlock()
	return s.options.Refuses(ctx, o)
}

// takeBack deletes what a call was refused, if this call made it, or one before that did
// not wait for the answer: then it is as want, and never was in force. The caller may be
// gone by then.
func (s *Server) takeBack(ctx context.Context, sub *subscription, want, have object, made bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for {
		now := have.DeepCopyObject().(object)
		err := s.api.Get(ctx, client.ObjectKeyFromObject(have), now)
		ours := made || now.GetAnnotations()[madeByAnnotation] == madeByControl && same(want, now) && neverInForce(now)
		if err == nil && now.GetUID() == have.GetUID() && ours {
			uid, version := now.GetUID(), now.GetResourceVersion()
			err = s.api.Delete(ctx, now, client.Preconditions{UID: &uid, ResourceVersion: &version})
			if err == nil {
				err = sub.awaitGone(ctx, uid)
			}
		}
		switch {
		case apierrors.IsConflict(err):
			continue // its status was written: it may be in force now
		case client.IgnoreNotFound(err) != nil:
			s.options.Log.Error(err, "Taking back what was refused", "kind", kindOf(have), "name", have.GetName())
		}
		return
	}
}

// neverInForce tells whether an object is refused and has nothing that is granted only
// with its acceptance.
func neverInForce(o object) bool {
	if c := current(o, v1alpha1.ConditionAccepted); c == nil || c.Status != metav1.ConditionFalse {
		return false
	}
	switch o := o.(type) {
	case *v1alpha1.Network:
		return o.Status.InForce == nil && len(o.Status.Subnets) == 0
	case *v1alpha1.Attachment:
		return o.Status.InForce == nil && o.Status.PortName == "" && len(o.Status.Addresses) == 0
	}
	return false
}

// remove deletes an object and waits until nothing of it is left.
func (s *Server) remove(ctx context.Context, sub *subscription, have object) error {
	uid := have.GetUID()
	err := s.api.Delete(ctx, have, client.Preconditions{UID: &uid})
	// A conflict: that object is gone, and another has its name by now.
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return err
	}
	return s.awaitDeleted(ctx, sub, have)
}

// mark deletes an object and waits until the cache knows, not until it is gone. A
// conflict is another of its name.
func (s *Server) mark(ctx context.Context, sub *subscription, have object) error {
	uid := have.GetUID()
	err := client.IgnoreNotFound(s.api.Delete(ctx, have, client.Preconditions{UID: &uid}))
	if err != nil || !s.cached(ctx, have) {
		return err
	}
	return sub.await(ctx, have.GetUID(), func(o object, gone bool) (bool, error) {
		return gone || !o.GetDeletionTimestamp().IsZero(), nil
	})
}

// awaitDeleted waits until an object that is being deleted is gone. A network
// that waits for attachments is an error at once.
func (s *Server) awaitDeleted(ctx context.Context, sub *subscription, have object) error {
	// It may have gone before the subscription began. What the cache still has is
	// waited for all the same: the next call looks there.
	now := have.DeepCopyObject().(object)
	err := s.api.Get(ctx, client.ObjectKeyFromObject(have), now)
	if (apierrors.IsNotFound(err) || err == nil && now.GetUID() != have.GetUID()) && !s.cached(ctx, have) {
		return nil
	}
	missing := metav1.Condition{Type: v1alpha1.ConditionDeleting, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonCleaningUp, Message: "what was made for it is being removed"}
	err = sub.await(ctx, have.GetUID(), func(o object, gone bool) (bool, error) {
		if gone {
			return true, nil
		}
		if c := meta.FindStatusCondition(*o.GetConditions(), v1alpha1.ConditionDeleting); c != nil {
			missing = *c
		}
		if n, ok := o.(*v1alpha1.Network); ok && missing.Reason == v1alpha1.ReasonAttachmentsRemain {
			left, err := s.containersOn(ctx, n.Name)
			if err != nil {
				return false, err
			}
			if len(left) > 0 {
				return false, inUse(n, left, "it is being deleted and goes when they have")
			}
		}
		return false, nil
	})
	if err != nil && ctx.Err() != nil {
		return unfinished(ctx, have, missing)
	}
	return err
}

// cached tells whether the cache has the object of that UID.
func (s *Server) cached(ctx context.Context, o object) bool {
	known := o.DeepCopyObject().(object)
	return s.cache.Get(ctx, client.ObjectKeyFromObject(o), known) == nil && known.GetUID() == o.GetUID()
}

// inUse refuses to delete a network, and names its containers.
func inUse(n *v1alpha1.Network, containers []string, then string) error {
	const most = 20
	what := fmt.Sprint(containers[:min(most, len(containers))])
	if more := len(containers) - most; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	c := metav1.Condition{Type: v1alpha1.ConditionDeleting, Reason: v1alpha1.ReasonAttachmentsRemain, Message: what}
	return fail(codes.FailedPrecondition, fmt.Sprintf("network_id: network %s is in use by containers %s; %s", n.Name, what, then), info(n, c))
}
