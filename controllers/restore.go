// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/policy"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// restorer writes the rows of all objects to a database that is new, before
// anybody looks at any of them: what an accepted object wants follows from the
// object alone, while reconciling it also writes its status, which takes a
// hundred times as long. Everything is reconciled afterwards, so it need not be
// complete, and an object that changes meanwhile is not missed.
type restorer struct {
	client     client.Reader
	northbound Northbound
	policies   *PolicyBook
	// uplink writes what makes this host the router's gateway.
	uplink func(context.Context) error
	// hold is told when the rows are written. May be nil.
	hold Hold
	// then is called after that.
	then func()
	log  logr.Logger
	bell // asks for a restore
}

// Start runs until ctx is done. The manager calls it once its caches are filled.
func (r *restorer) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.bell:
		}
		from := time.Now()
		n, err := r.restore(ctx)
		if err != nil {
			r.log.Info("Rows could not be restored at once; each object does it now", "why", err.Error())
		} else if n > 0 {
			r.log.Info("Rows of all objects were written", "objects", n, "seconds", time.Since(from).Seconds())
		}
		// After the next connection it is another restore.
		if r.hold != nil && !errors.Is(err, ovnsync.ErrDisconnected) {
			r.hold.Release(ctx)
		}
		r.then()
	}
}

func (r *restorer) restore(ctx context.Context) (int, error) {
	if err := r.policies.Load(ctx, r.client); err != nil {
		return 0, err
	}
	var networks v1alpha1.NetworkList
	if err := r.client.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return 0, err
	}
	var attachments v1alpha1.AttachmentList
	if err := r.client.List(ctx, &attachments, client.UnsafeDisableDeepCopy); err != nil {
		return 0, err
	}
	if len(networks.Items) == 0 {
		return 0, nil
	}
	if _, err := r.northbound.Update(ctx, topology.SharedOwner(), topology.Shared()); err != nil {
		return 0, err
	}
	byName := map[string]*v1alpha1.Network{}
	var wanted []ovnsync.Owned
	for i := range networks.Items {
		n := networks.Items[i].AsInForce()
		byName[n.Name] = n
		if rows, err := topology.Network(n); (n.Status.InForce != nil || inForce(n, n.Status.ObservedGeneration)) && err == nil {
			wanted = append(wanted, ovnsync.Owned{Owner: topology.NetworkOwner(n), Rows: rows})
		}
	}
	errs := []error{r.write(ctx, wanted), r.uplink(ctx), r.restorePolicies(ctx)}
	done := len(wanted)
	wanted = nil
	for i := range attachments.Items {
		a := attachments.Items[i].AsInForce()
		n := byName[a.Spec.Network]
		if n == nil || a.Status.InForce == nil && !inForce(a, a.Status.ObservedGeneration) {
			continue
		}
		place := r.policies.Place(a, n)
		if place.News {
			continue // policies have to be looked at first
		}
		if rows, err := topology.Attachment(a, n); err == nil {
			place.enter(rows)
			wanted = append(wanted, ovnsync.Owned{Owner: topology.AttachmentOwner(a), Rows: rows})
		}
	}
	return done + len(wanted), errors.Join(append(errs, r.write(ctx, wanted))...)
}

// restorePolicies writes the rows of policies, which have to be there before the
// endpoints that they are for: those go without where it fails, and wait.
func (r *restorer) restorePolicies(ctx context.Context) error {
	s, err := takePolicySnapshot(ctx, r.client)
	if err != nil {
		return err
	}
	_, err = r.northbound.Update(ctx, policy.Owner(), s.program.Rows)
	return err
}

// inForce tells that the status of an object says all about its rows.
func inForce(o conditioned, observed int64) bool {
	return o.GetDeletionTimestamp().IsZero() && observed == o.GetGeneration() && isTrue(o, v1alpha1.ConditionAccepted)
}

// write writes the rows of all, and returns one of the errors.
func (r *restorer) write(ctx context.Context, all []ovnsync.Owned) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.northbound.UpdateAll(ctx, all)
}
