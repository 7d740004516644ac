// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/go-logr/logr/testr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
)

// recorded keeps whose rows were written, in order.
type recorded struct {
	Northbound
	mu     sync.Mutex
	owners []string
}

func (r *recorded) Update(_ context.Context, o ovnsync.Owner, rows []ovnsync.Row) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(rows) > 0 {
		r.owners = append(r.owners, o.Kind+" "+o.Name)
	}
	return true, nil
}

func (r *recorded) UpdateAll(ctx context.Context, all []ovnsync.Owned) error {
	for _, o := range all {
		if _, err := r.Update(ctx, o.Owner, o.Rows); err != nil {
			return err
		}
	}
	return nil
}

// Only what an object's status already says is written without looking at it.
func TestRestoreWritesWhatIsInForce(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	network := func(name string, status metav1.ConditionStatus, observed int64) *v1alpha1.Network {
		n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 2}}
		n.Status.Subnets = []v1alpha1.SubnetStatus{{CIDR: "10.88.0.0/24", Gateway: "10.88.0.1"}}
		n.Status.ObservedGeneration = observed
		n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Status: status, ObservedGeneration: observed}}
		return n
	}
	attachment := func(name, network string, observed int64, labels map[string]string) *v1alpha1.Attachment {
		a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1, Labels: labels}}
		a.Spec.Network, a.Spec.Container = network, v1alpha1.Container{ID: name, Name: name}
		a.Status.Addresses, a.Status.MAC = []string{"10.88.0.2/24"}, "02:00:00:00:00:02"
		a.Status.ObservedGeneration = observed
		a.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, ObservedGeneration: observed}}
		return a
	}
	going := attachment("going", "n", 1, nil)
	going.Finalizers = []string{v1alpha1.CentralFinalizer}
	now := metav1.Now()
	going.DeletionTimestamp = &now
	selects := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "uid-p", Generation: 1}}
	selects.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"role": "web"}}
	selects.Spec.Ingress = []v1alpha1.PolicyRule{{Action: v1alpha1.PolicyDeny}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		network("n", metav1.ConditionTrue, 2), network("m", metav1.ConditionTrue, 2), network("refused", metav1.ConditionFalse, 2), network("changed", metav1.ConditionTrue, 1),
		attachment("a", "n", 1, nil), attachment("stale", "n", 0, nil), going,
		attachment("orphan", "nowhere", 1, nil), attachment("selected", "m", 1, map[string]string{"role": "web"}), selects,
	).Build()
	nb, done := &recorded{}, make(chan struct{})
	uplink := func(context.Context) error {
		nb.owners = append(nb.owners, "Uplink")
		return nil
	}
	r := &restorer{client: c, northbound: nb, policies: NewPolicyBook(), uplink: uplink, then: func() { close(done) },
		log: testr.New(t), bell: newBell()}
	go func() { _ = r.Start(t.Context()) }()
	r.Ask()
	<-done
	if len(nb.owners) > 3 {
		slices.Sort(nb.owners[1:3]) // networks go side by side
	}
	if want := []string{"Topology shared", "Network m", "Network n", "Uplink", "Policy policies", "Attachment a", "Attachment selected"}; !slices.Equal(nb.owners, want) {
		t.Errorf("written: %v, want %v", nb.owners, want)
	}
}
