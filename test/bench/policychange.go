// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/policy"
)

// A network of so many endpoints has a policy of so many rules. Two of the
// endpoints run here, a client and a server; the first rule decides what is
// between them.
const (
	policyEndpoints = 1000
	policyRules     = 100
	wideNetwork     = "wide"
	policyName      = "rules"
)

func endpoint(k int) *v1alpha1.Attachment {
	name := fmt.Sprint("end-", k)
	a := &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.AttachmentSpec{
			Network:   wideNetwork,
			Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: testns.Path(name)},
		},
	}
	if k >= 2 {
		a.Spec.Node = elsewhere
	}
	return a
}

// policyObject has the first rule reject; the others are of addresses that
// nobody has, in blocks of ten that allow and that deny.
func policyObject() *v1alpha1.Policy {
	p := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: policyName}, Spec: v1alpha1.PolicySpec{Network: wideNetwork}}
	rule := func(action v1alpha1.PolicyAction, port int32, peer v1alpha1.PolicyPeer) {
		p.Spec.Ingress = append(p.Spec.Ingress, v1alpha1.PolicyRule{Action: action, Protocol: v1alpha1.PolicyTCP,
			Ports: []v1alpha1.PortRange{{Port: port}}, Peers: []v1alpha1.PolicyPeer{peer}})
	}
	rule(v1alpha1.PolicyReject, containerPort, v1alpha1.PolicyPeer{Network: wideNetwork})
	for k := 1; k < policyRules; k++ {
		action := []v1alpha1.PolicyAction{v1alpha1.PolicyDeny, v1alpha1.PolicyAllow}[k/10%2]
		rule(action, int32(1000+k), v1alpha1.PolicyPeer{CIDR: fmt.Sprintf("203.0.113.%d/32", k)})
	}
	return p
}

// policyChange measures how long it takes from asking for another action of a
// rule until a new connection between two containers has the other outcome, and
// counts the ACLs with few endpoints and with all.
func policyChange(dir string) (results []result, err error) {
	for k := range 2 {
		if err := testns.Make(endpoint(k).Name); err != nil {
			return nil, err
		}
	}
	o := &ours{daemons: &daemons{dir: dir}}
	defer func() { err = errors.Join(err, o.stop()) }()
	if err := o.start(); err != nil {
		return nil, err
	}
	network := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: wideNetwork},
		Spec: v1alpha1.NetworkSpec{Subnets: []v1alpha1.Subnet{{CIDR: "10.200.0.0/16"}}}}
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	if err := o.api.Create(ctx, network); err != nil {
		return nil, err
	}
	for k := range 2 {
		if err := o.attach(endpoint(k)); err != nil {
			return nil, err
		}
	}
	server := endpoint(1)
	if err := o.api.Get(ctx, client.ObjectKeyFromObject(server), server); err != nil {
		return nil, err
	}
	address, _, _ := strings.Cut(server.Status.Addresses[0], "/")
	done, err := acceptAll(server.Name)
	if err != nil {
		return nil, err
	}
	defer done()
	to := net.JoinHostPort(address, fmt.Sprint(containerPort))
	if _, err := untilOutcome(to, v1alpha1.PolicyReject, func() error { return o.api.Create(ctx, policyObject()) }); err != nil {
		return nil, err
	}
	few, err := o.policyACLs()
	if err != nil {
		return nil, err
	}
	if err := o.each(policyEndpoints-2, func(k int) client.Object { return endpoint(k + 2) }); err != nil {
		return nil, err
	}
	if err := o.await(policyEndpoints, 0, ages); err != nil {
		return nil, err
	}
	all, err := o.policyACLs()
	if err != nil {
		return nil, err
	}
	times := map[v1alpha1.PolicyAction][]float64{}
	for s := range *samples {
		for _, action := range []v1alpha1.PolicyAction{v1alpha1.PolicyAllow, v1alpha1.PolicyReject} {
			if err := o.settle(); err != nil {
				return nil, err
			}
			ms, err := untilOutcome(to, action, func() error { return o.changeRule(ctx, action) })
			if err != nil {
				return nil, fmt.Errorf("sample %d: %w", s, err)
			}
			times[action] = append(times[action], ms)
		}
	}
	size := fmt.Sprintf("%d endpoints × %d rules", policyEndpoints, policyRules)
	results = []result{
		of("policy change → a connection passes, "+size, "ms", times[v1alpha1.PolicyAllow]...),
		of("policy change → a connection is rejected, "+size, "ms", times[v1alpha1.PolicyReject]...),
		of("ACLs of policies, "+size, "rows", float64(all)),
		of(fmt.Sprintf("ACLs of policies, 2 endpoints × %d rules", policyRules), "rows", float64(few)),
	}
	for i := range results {
		results[i].Way = "ours"
	}
	return results, nil
}

// changeRule gives the first rule another action.
func (o *ours) changeRule(ctx context.Context, action v1alpha1.PolicyAction) error {
	p := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Name: policyName}}
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/ingress/0/action","value":%q}]`, action)
	return o.api.Patch(ctx, p, client.RawPatch(types.JSONPatchType, []byte(patch)))
}

// policyACLs counts the ACLs of policies in the northbound database.
func (o *ours) policyACLs() (int, error) {
	out, err := o.tool("ovn-nbctl", "--bare", "--columns=_uuid", "find", "ACL", "external_ids:arca-owner-kind="+policy.KindPolicy)
	return len(strings.Fields(out)), err
}

// untilOutcome does something, and takes the time from its beginning until the
// end of the first connection from the client that has an action's outcome.
func untilOutcome(to string, action v1alpha1.PolicyAction, do func() error) (float64, error) {
	from := endpoint(0).Name
	probe := func() (bool, error) {
		err := connect(to)
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return false, err
		}
		return (err == nil) == (action == v1alpha1.PolicyAllow), nil
	}
	if err := within(from, func() error {
		if is, err := probe(); err != nil || is {
			return fmt.Errorf("%s: the outcome of %s is there already, or there is none: %v", to, action, err)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	changed := make(chan error, 1)
	began := time.Now()
	go func() {
		changed <- within(from, func() error {
			for limit := began.Add(patience); time.Now().Before(limit); time.Sleep(100 * time.Microsecond) { // nothing tells but a connection
				if is, err := probe(); err != nil || is {
					return err
				}
			}
			return fmt.Errorf("%s: no connection has the outcome of %s", to, action)
		})
	}()
	if err := do(); err != nil {
		return 0, err
	}
	err := <-changed
	return float64(time.Since(began).Microseconds()) / 1000, err
}
