// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

const (
	// syncWriters is how many objects a Sync writes side by side.
	syncWriters = 32
	// maxSyncErrors bounds the answer.
	maxSyncErrors = 1000
)

// Sync makes the objects of a manager what the request says. It returns when
// all is written, and does not wait for traffic.
func (s *Server) Sync(ctx context.Context, r *controlpb.SyncRequest) (*controlpb.SyncResponse, error) {
	want, wrong := desiredOf(r)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	unlock, err := s.locks.write(ctx, "sync/"+r.GetManager())
	if err != nil {
		return nil, apiError(ctx, err, nil)
	}
	defer unlock()
	if err := s.storeAnswers(ctx); err != nil {
		return nil, apiError(ctx, err, nil) // also where nothing has to be written
	}
	job := &syncJob{server: s, manager: r.GetManager(), out: &controlpb.SyncResponse{
		Networks: &controlpb.SyncCounts{}, Attachments: &controlpb.SyncCounts{}, Policies: &controlpb.SyncCounts{},
	}}
	steps := map[kind][]step{}
	for k, list := range map[kind]client.ObjectList{
		kindNetwork: &v1alpha1.NetworkList{}, kindAttachment: &v1alpha1.AttachmentList{}, kindPolicy: &v1alpha1.PolicyList{},
	} {
		have, err := s.managed(ctx, list, r.GetManager())
		if err != nil {
			return nil, apiError(ctx, err, nil)
		}
		var unchanged int
		steps[k], unchanged = plan(k, want[k], have)
		job.counts(k).Unchanged = int32(unchanged)
	}
	if err := s.checkSteps(ctx, steps); err != nil {
		return nil, err
	}
	if err := job.run(ctx, steps); err != nil {
		return nil, apiError(ctx, err, nil)
	}
	slices.SortFunc(job.out.Errors, func(a, b *controlpb.SyncError) int {
		return strings.Compare(a.GetKind()+"/"+a.GetName(), b.GetKind()+"/"+b.GetName())
	})
	return job.out, nil
}

// managed lists the objects of a manager from the cache.
func (s *Server) managed(ctx context.Context, list client.ObjectList, manager string) ([]object, error) {
	if err := s.cache.List(ctx, list, client.MatchingLabels{ManagerLabel: manager}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var out []object
	err := meta.EachListItem(list, func(o runtime.Object) error {
		out = append(out, o.(object))
		return nil
	})
	return out, err
}

// checkSteps checks all that is to be written before anything is. What is as
// asked was checked when it was written.
func (s *Server) checkSteps(ctx context.Context, steps map[kind][]step) error {
	var mu sync.Mutex
	var wrong []violation
	var g errgroup.Group
	g.SetLimit(syncWriters)
	for _, list := range steps {
		for _, st := range list {
			if st.want == nil {
				continue
			}
			g.Go(func() error {
				found, err := s.schema.check(ctx, st.want.object, st.want.fields)
				if err != nil {
					return status.Error(codes.Internal, err.Error())
				}
				mu.Lock()
				defer mu.Unlock()
				wrong = append(wrong, under(st.want.prefix, found)...)
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return invalid(wrong)
}

// syncJob is one Sync at work.
type syncJob struct {
	server  *Server
	manager string
	mu      sync.Mutex
	out     *controlpb.SyncResponse
	written atomic.Int32
}

func (j *syncJob) counts(k kind) *controlpb.SyncCounts {
	switch k {
	case kindNetwork:
		return j.out.Networks
	case kindAttachment:
		return j.out.Attachments
	}
	return j.out.Policies
}

// run goes in an order in which nothing stands in the way of what comes later:
// what goes gives its addresses and subnets back first, and a network is there
// before its attachments.
func (j *syncJob) run(ctx context.Context, steps map[kind][]step) error {
	deletes := func(st step) bool { return st.have != nil && (st.want == nil || st.replace) }
	writes := func(st step) bool { return st.want != nil }
	for _, phase := range []struct {
		kind kind
		only func(step) bool
		do   func(context.Context, step) error
	}{
		{kindPolicy, deletes, j.delete},
		{kindAttachment, deletes, j.delete},
		{kindNetwork, deletes, j.delete},
		{kindNetwork, writes, j.write},
		{kindAttachment, writes, j.write},
		{kindPolicy, writes, j.write},
	} {
		g, phaseCtx := errgroup.WithContext(ctx)
		g.SetLimit(syncWriters)
		for _, st := range steps[phase.kind] {
			if !phase.only(st) {
				continue
			}
			g.Go(func() error { return j.account(ctx, st, phase.do(phaseCtx, st)) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// account notes what became of a step. What stands against all further steps
// ends the Sync.
func (j *syncJob) account(ctx context.Context, st step, err error) error {
	if err == nil {
		j.written.Add(1)
		return nil
	}
	if err := interrupted(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return status.Errorf(codes.DeadlineExceeded, "Sync had written %d objects when its time was over; send it again", j.written.Load())
	}
	var fields fieldMap
	o := st.have
	if st.want != nil {
		fields, o = st.want.fields, st.want.object
	}
	err = apiError(ctx, err, fields)
	if status.Code(err) == codes.Unavailable {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts(st.kind).Failed++
	if len(j.out.Errors) < maxSyncErrors {
		j.out.Errors = append(j.out.Errors, &controlpb.SyncError{
			Kind: string(st.kind), Name: o.GetName(), Code: int32(status.Code(err)), Message: status.Convert(err).Message(),
		})
	}
	return nil
}

func (j *syncJob) count(k kind, add func(*controlpb.SyncCounts)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add(j.counts(k))
}

func (j *syncJob) delete(ctx context.Context, st step) error {
	if st.kind == kindNetwork {
		if _, err := j.server.deleteNetwork(ctx, st.have.GetName()); err != nil {
			return err
		}
	} else {
		sub := j.server.hub.subscribe(st.kind, st.have.GetName())
		defer sub.close()
		if err := j.server.remove(ctx, sub, st.have.DeepCopyObject().(object)); err != nil {
			return err
		}
	}
	if st.want == nil {
		j.count(st.kind, func(c *controlpb.SyncCounts) { c.Deleted++ })
	}
	return nil
}

// write creates an object or makes it as it should be. One of the name that
// somebody else has made is not touched.
func (j *syncJob) write(ctx context.Context, st step) error {
	sub := j.server.hub.subscribe(st.kind, st.want.object.GetName())
	defer sub.close()
	have := st.have
	if have == nil || st.replace {
		have = st.want.object.DeepCopyObject().(object)
		made, err := j.server.create(ctx, sub, st.want.object, have)
		if err != nil {
			return err
		}
		if made {
			err := sub.awaitSeen(ctx, have.GetUID()) // the next Sync knows it
			j.count(st.kind, func(c *controlpb.SyncCounts) { c.Created++ })
			return err
		}
	}
	for {
		if of := have.GetLabels()[ManagerLabel]; of != j.manager {
			owner := "nobody's by its label " + ManagerLabel
			if of != "" {
				owner = "of manager " + quote(of)
			}
			return status.Errorf(codes.AlreadyExists, "%s %s exists and is %s; it is left alone", st.kind, have.GetName(), owner)
		}
		if same(st.want.object, have) {
			j.count(st.kind, func(c *controlpb.SyncCounts) { c.Unchanged++ })
			return j.server.awaitCached(ctx, sub, have, have)
		}
		next := withSpec(have, st.want.object)
		err := j.server.api.Update(ctx, next)
		if err == nil {
			err := j.server.awaitCached(ctx, sub, have, next) // the next Sync knows it
			j.count(st.kind, func(c *controlpb.SyncCounts) { c.Updated++ })
			return err
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		have = st.want.object.DeepCopyObject().(object)
		if err := j.server.api.Get(ctx, client.ObjectKeyFromObject(st.want.object), have); err != nil {
			return err
		}
	}
}
