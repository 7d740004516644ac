// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"maps"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// SetNetworkPolicy replaces the rules of a network: they are one object, written
// once.
func (s *Server) SetNetworkPolicy(ctx context.Context, r *controlpb.SetNetworkPolicyRequest) (*controlpb.SetNetworkPolicyResponse, error) {
	want, fields, wrong := policyOf(r)
	if err := s.refuseInvalid(ctx, want, fields, wrong); err != nil {
		return nil, err
	}
	if err := s.setRules(ctx, want, len(r.GetRules()), fields); err != nil {
		return nil, apiError(ctx, err, fields)
	}
	return &controlpb.SetNetworkPolicyResponse{Rules: int32(len(r.GetRules()))}, nil
}

func (s *Server) setRules(ctx context.Context, want *v1alpha1.Policy, rules int, fields fieldMap) error {
	// The network stays while its rules are written.
	unlock, err := s.locks.read(ctx, "network/"+want.Spec.Network)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkNetwork(ctx, want.Spec.Network); err != nil {
		return err
	}
	if rules == 0 {
		return s.deleteRules(ctx, want.Name)
	}
	one, err := s.locks.write(ctx, "policy/"+want.Name)
	if err != nil {
		return err
	}
	defer one()
	sub := s.hub.subscribe(kindPolicy, want.Name)
	defer sub.close()
	have := &v1alpha1.Policy{}
	made, err := s.create(ctx, sub, want, have)
	if err != nil {
		return err
	}
	before := have.DeepCopy()
	if !made {
		if err := s.replaceRules(ctx, want, have); err != nil {
			return err
		}
	}
	_, err = s.settle(ctx, sub, have, v1alpha1.ConditionProgrammed, fields)
	if isRefusal(err) {
		if made {
			s.takeBack(ctx, sub, want, have, made)
		} else if have.Generation != before.Generation {
			s.putBack(ctx, sub, before)
		}
	}
	if err == nil && !made {
		err = s.awaitCached(ctx, sub, before, have)
	}
	return err
}

// replaceRules writes rules over those of a policy that this server has made.
func (s *Server) replaceRules(ctx context.Context, want, have *v1alpha1.Policy) error {
	for {
		if have.Annotations[madeByAnnotation] != madeByControl {
			return status.Errorf(codes.FailedPrecondition,
				"network_id: policy %s was not made by SetNetworkPolicy; delete or rename it first", have.Name)
		}
		if equality.Semantic.DeepEqual(have.Spec, want.Spec) && len(compareLabels(want.Labels, have.Labels)) == 0 {
			return nil
		}
		next := have.DeepCopy()
		next.Spec = want.Spec
		if want.Labels != nil && next.Labels == nil {
			next.Labels = map[string]string{}
		}
		maps.Copy(next.Labels, want.Labels)
		err := s.api.Update(ctx, next)
		if err == nil {
			*have = *next
			return nil
		}
		if !apierrors.IsConflict(err) {
			return err
		}
		// A controller has written its status in between.
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
			return err
		}
	}
}

// putBack writes the rules that were in force before some that were refused. Whoever
// reads afterwards sees them.
func (s *Server) putBack(ctx context.Context, sub *subscription, before *v1alpha1.Policy) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	now := &v1alpha1.Policy{}
	err := s.api.Get(ctx, client.ObjectKeyFromObject(before), now)
	if err == nil {
		refused := now.DeepCopy()
		if err = s.replaceRules(ctx, before, now); err == nil {
			err = s.awaitCached(ctx, sub, refused, now)
		}
	}
	if client.IgnoreNotFound(err) != nil {
		s.options.Log.Error(err, "Putting back rules after others were refused", "policy", before.Name)
	}
}

// deleteRules deletes the rules that SetNetworkPolicy has made for a network,
// if there are any.
func (s *Server) deleteRules(ctx context.Context, network string) error {
	one, err := s.locks.write(ctx, "policy/"+network)
	if err != nil {
		return err
	}
	defer one()
	sub := s.hub.subscribe(kindPolicy, network)
	defer sub.close()
	p := &v1alpha1.Policy{}
	if err := s.api.Get(ctx, client.ObjectKey{Name: network}, p); err != nil {
		return client.IgnoreNotFound(err)
	}
	if p.Annotations[madeByAnnotation] != madeByControl {
		return nil
	}
	return s.remove(ctx, sub, p)
}
