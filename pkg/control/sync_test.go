// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"fmt"
	"maps"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/control"
)

func desiredState() *controlpb.SyncRequest {
	r := &controlpb.SyncRequest{Manager: "arcad"}
	for i := range 3 {
		r.Networks = append(r.Networks, &controlpb.CreateBridgeRequest{NetworkId: fmt.Sprint("net", i), Subnet: fmt.Sprintf("10.%d.0.0/24", i)})
		for j := range 4 {
			r.Attachments = append(r.Attachments, tap(fmt.Sprintf("c%d%d", i, j), fmt.Sprint("net", i)))
		}
	}
	return r
}

// versions are the resource versions of all objects.
func (w *world) versions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	var networks v1alpha1.NetworkList
	var attachments v1alpha1.AttachmentList
	if err := w.api.List(within(t, patience), &networks); err != nil {
		t.Fatal(err)
	}
	if err := w.api.List(within(t, patience), &attachments); err != nil {
		t.Fatal(err)
	}
	for _, n := range networks.Items {
		out["network/"+n.Name] = string(n.UID) + n.ResourceVersion
	}
	for _, a := range attachments.Items {
		out["attachment/"+a.Name] = string(a.UID) + a.ResourceVersion
	}
	return out
}

func counts(c *controlpb.SyncCounts) string {
	return fmt.Sprintf("+%d ~%d -%d =%d !%d", c.GetCreated(), c.GetUpdated(), c.GetDeleted(), c.GetUnchanged(), c.GetFailed())
}

func TestSync(t *testing.T) {
	w := startWorld(t, atOnce)
	// Others' objects: one of nobody's, one of another manager's.
	w.network(t, "foreign", "10.90.0.0/24")
	if _, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: "others", Subnet: "10.91.0.0/24", Manager: "other"}); err != nil {
		t.Fatal(err)
	}
	w.attach(t, tap("c", "foreign"))
	sync := func(r *controlpb.SyncRequest, networks, attachments string) *controlpb.SyncResponse {
		t.Helper()
		res, err := w.Sync(within(t, patience), r)
		if err != nil {
			t.Fatal(err)
		}
		if counts(res.Networks) != networks || counts(res.Attachments) != attachments {
			t.Errorf("networks %s, attachments %s, want %s, %s: %v", counts(res.Networks), counts(res.Attachments), networks, attachments, res.Errors)
		}
		return res
	}
	// settled waits until nobody writes any more: all are Ready as they are now.
	settled := func(r *controlpb.SyncRequest) {
		t.Helper()
		for _, n := range r.Networks {
			n = proto.Clone(n).(*controlpb.CreateBridgeRequest)
			if _, err := w.CreateBridge(within(t, patience), n); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range r.Attachments {
			w.attach(t, a)
		}
	}
	want := desiredState()
	sync(want, "+3 ~0 -0 =0 !0", "+12 ~0 -0 =0 !0")
	settled(want)
	before := w.versions(t)
	sync(want, "+0 ~0 -0 =3 !0", "+0 ~0 -0 =12 !0")
	if now := w.versions(t); !maps.Equal(before, now) {
		t.Errorf("a Sync of what is so has written: %v, was %v", now, before)
	}

	// One changed, one that cannot be changed in place, one new, a network with
	// all that is on it gone.
	next := desiredState()
	next.Networks = next.Networks[:2]
	next.Attachments = append(next.Attachments[:8], tap("new", "net0"))
	next.Networks[0].Mtu = proto.Int32(1400)
	next.Attachments[0].Hostname = "web"
	next.Attachments[1].Interface.Type = "Tap"
	sync(next, "+0 ~1 -1 =1 !0", "+2 ~1 -4 =6 !0")
	settled(next)
	now := w.versions(t)
	for _, name := range []string{"network/foreign", "network/others", "attachment/c.foreign", "network/net1", "attachment/c10.net1"} {
		if now[name] != before[name] {
			t.Errorf("%s was touched", name)
		}
	}
	if len(now) != 2+1+2+9 {
		t.Errorf("%d objects: %v", len(now), now)
	}

	// Rules are replaced, and go when there are none any more.
	rules := func(actions ...string) *controlpb.SetNetworkPolicyRequest {
		p := &controlpb.SetNetworkPolicyRequest{NetworkId: "net0"}
		for _, a := range actions {
			p.Rules = append(p.Rules, &controlpb.NetworkPolicyRule{Action: a})
		}
		return p
	}
	for _, c := range []struct {
		rules *controlpb.SetNetworkPolicyRequest
		want  string
	}{
		{rules("allow"), "+1 ~0 -0 =0 !0"}, {rules("allow"), "+0 ~0 -0 =1 !0"}, {rules("allow", "deny"), "+0 ~1 -0 =0 !0"},
		{rules(), "+0 ~0 -1 =0 !0"}, {rules(), "+0 ~0 -0 =0 !0"},
	} {
		next.Policies = []*controlpb.SetNetworkPolicyRequest{c.rules}
		if res := sync(next, "+0 ~0 -0 =2 !0", "+0 ~0 -0 =9 !0"); counts(res.Policies) != c.want {
			t.Errorf("%v: policies %s, want %s", c.rules, counts(res.Policies), c.want)
		}
	}

	// What another has is left alone and told; the rest is done.
	next.Networks = append(next.Networks, &controlpb.CreateBridgeRequest{NetworkId: "foreign", Subnet: "10.90.0.0/24"}, &controlpb.CreateBridgeRequest{NetworkId: "net9", Subnet: "10.9.0.0/24"})
	res := sync(next, "+1 ~0 -0 =2 !1", "+0 ~0 -0 =9 !0")
	if len(res.Errors) != 1 || res.Errors[0].Name != "foreign" || codes.Code(res.Errors[0].Code) != codes.AlreadyExists {
		t.Errorf("errors: %v", res.Errors)
	}

	// Nothing wanted: what is in use by others stays, and is told.
	if err := w.api.Create(within(t, patience), &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: "guest"},
		Spec: v1alpha1.AttachmentSpec{Network: "net0", Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceTap}}}); err != nil {
		t.Fatal(err)
	}
	w.appears(t, &v1alpha1.AttachmentList{}, "guest")
	settled(&controlpb.SyncRequest{Attachments: []*controlpb.AttachContainerRequest{tap("after", "net0")}}) // the server has seen guest by then
	res = sync(&controlpb.SyncRequest{Manager: "arcad"}, "+0 ~0 -2 =0 !1", "+0 ~0 -9 =0 !0")
	if len(res.Errors) != 1 || codes.Code(res.Errors[0].Code) != codes.FailedPrecondition {
		t.Errorf("errors: %v", res.Errors)
	}
	var labelled v1alpha1.NetworkList
	if err := w.api.List(within(t, patience), &labelled); err != nil {
		t.Fatal(err)
	}
	for _, n := range labelled.Items {
		if n.Labels[control.ManagerLabel] == "arcad" && n.Name != "net0" {
			t.Errorf("%s is left", n.Name)
		}
	}
}

// A request that is wrong anywhere changes nothing, and is told all of it.
func TestSyncInvalid(t *testing.T) {
	w := startWorld(t, atOnce)
	r := desiredState()
	r.Networks[1].Subnet = "10.1.0.0/33"
	r.Networks[2].Manager = "other"
	r.Attachments[0].Interface = nil
	r.Attachments[1].NetworkId = ""
	r.Attachments = append(r.Attachments, proto.Clone(r.Attachments[2]).(*controlpb.AttachContainerRequest))
	r.Policies = append(r.Policies, &controlpb.SetNetworkPolicyRequest{NetworkId: "net0", Rules: []*controlpb.NetworkPolicyRule{{Action: "x"}}})
	_, err := w.Sync(within(t, patience), r)
	wantFields(t, err, codes.InvalidArgument, "networks[2].manager", "attachments[0].interface", "attachments[1].network_id",
		"attachments[12].network_id", "policies[0].rules[0].action")
	_, err = w.Sync(within(t, patience), &controlpb.SyncRequest{Manager: "arcad", Networks: r.Networks[:2]})
	wantFields(t, err, codes.InvalidArgument, "networks[1].subnet")
	_, err = w.Sync(within(t, patience), &controlpb.SyncRequest{})
	wantFields(t, err, codes.InvalidArgument, "manager")
	if n := w.count(t); n != 0 {
		t.Errorf("%d objects were made", n)
	}
}
