// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// desired is an object as a Sync wants it.
type desired struct {
	object object
	fields fieldMap
	prefix string // of its fields in the request
	rules  int    // of a policy
}

// desiredOf reads a whole request, and tells all that is wrong with it.
func desiredOf(r *controlpb.SyncRequest) (all map[kind][]*desired, wrong []violation) {
	manager := r.GetManager()
	if manager == "" {
		wrong = append(wrong, violation{"manager", "must be given: whose objects are these?"})
	}
	wrong = append(wrong, checkManager("manager", manager)...)
	all = map[kind][]*desired{}
	names := map[kind]map[string]string{kindNetwork: {}, kindAttachment: {}, kindPolicy: {}}
	add := func(k kind, d *desired, of string, found []violation) {
		if of != "" && of != manager {
			found = append(found, violation{"manager", quote(of) + ": must be " + quote(manager) + " or unset"})
		}
		if before, twice := names[k][d.object.GetName()]; twice {
			found = append(found, violation{"network_id", "is the same object as " + before})
		}
		names[k][d.object.GetName()] = d.prefix
		wrong = append(wrong, under(d.prefix, found)...)
		all[k] = append(all[k], d)
	}
	for i, n := range r.GetNetworks() {
		of := n.GetManager()
		n = proto.Clone(n).(*controlpb.CreateBridgeRequest)
		n.Manager = manager
		o, fields, found := networkOf(n)
		add(kindNetwork, &desired{object: o, fields: fields, prefix: fmt.Sprintf("networks[%d]", i)}, of, found)
	}
	for i, a := range r.GetAttachments() {
		of := a.GetManager()
		a = proto.Clone(a).(*controlpb.AttachContainerRequest)
		a.Manager = manager
		o, fields, found := attachmentOf(a)
		add(kindAttachment, &desired{object: o, fields: fields, prefix: fmt.Sprintf("attachments[%d]", i)}, of, found)
	}
	for i, p := range r.GetPolicies() {
		of := p.GetManager()
		p = proto.Clone(p).(*controlpb.SetNetworkPolicyRequest)
		p.Manager = manager
		o, fields, found := policyOf(p)
		d := &desired{object: o, fields: fields, prefix: fmt.Sprintf("policies[%d]", i), rules: len(p.GetRules())}
		add(kindPolicy, d, of, found)
	}
	// A policy without rules is none.
	rules := all[kindPolicy][:0]
	for _, d := range all[kindPolicy] {
		if d.rules > 0 {
			rules = append(rules, d)
		}
	}
	all[kindPolicy] = rules
	return all, wrong
}
