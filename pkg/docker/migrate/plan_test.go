// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/docker"
)

func read(t *testing.T, text string) []Source {
	t.Helper()
	s, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func actions(plan []Item) (out []string) {
	for _, i := range plan {
		out = append(out, string(i.Action)+" "+i.Name)
	}
	return out
}

func TestPlan(t *testing.T) {
	plan := Plan(read(t, inspected), nil)
	if got := strings.Join(actions(plan), ", "); got != "conflict vlan, create shop, skip bridge" {
		t.Fatal(got)
	}
	if got := strings.Join(plan[0].Why, "; "); got != "driver macvlan is not supported; bridge, overlay, arca are" {
		t.Error(got)
	}
	if got := strings.Join(plan[1].Notes, "; "); got != "option com.docker.network.bridge.name=br-shop is kept and shown, but has no effect" {
		t.Error(got)
	}
	r := plan[1].request
	if r.GetNetworkId() != shopID || r.GetName() != "shop" || r.GetMtu() != 1400 || len(r.GetSubnets()) != 2 || !slices.Equal(r.GetSubnets()[0].GetReserved(), []string{"10.77.0.9"}) ||
		r.GetSubnets()[0].GetIpRange() != "10.77.0.128/25" {
		t.Errorf("%v", r)
	}
	// What is kept in the object is what Docker is told of it again.
	facts := docker.FactsOf(&controlpb.BridgeInfo{NetworkId: shopID, Annotations: r.GetAnnotations()})
	if !facts.Attachable || facts.Created.Year() != 2024 || facts.Labels["app"] != "shop" || facts.Options["com.docker.network.bridge.name"] != "br-shop" || facts.IPAM.Config[0].AuxAddress["printer"].String() != "10.77.0.9" {
		t.Errorf("%+v", facts)
	}
}

func TestPlanConflicts(t *testing.T) {
	existing := []*controlpb.BridgeInfo{
		{NetworkId: "db", Name: "db", Uid: "u", Subnets: []*controlpb.Subnet{{Cidr: "10.77.0.0/16"}}},
		{NetworkId: "web", Name: "shop", Uid: "v"},
	}
	plan := Plan(read(t, inspected), existing)
	if got := strings.Join(actions(plan), ", "); got != "conflict shop, conflict vlan, skip bridge" {
		t.Fatal(got)
	}
	why := strings.Join(plan[0].Why, "; ")
	for _, want := range []string{"name shop is taken by network " + short(docker.NetworkID(existing[1])), "subnet 10.77.0.0/24 overlaps with 10.77.0.0/16 of network db"} {
		if !strings.Contains(why, want) {
			t.Errorf("%s is not in %s", want, why)
		}
	}
	swarm := strings.ReplaceAll(strings.ReplaceAll(inspected, `"Scope": "local", "Driver": "bridge",
	 "EnableIPv6": true`, `"Scope": "swarm", "Driver": "overlay",
	 "EnableIPv6": true`), "10.78.0.0/24", "10.77.0.0/25")
	if why = strings.Join(Plan(read(t, swarm), nil)[0].Why, "; "); why != "scope swarm is not supported; local is" {
		t.Error(why)
	}
	// Of two that overlap, the first is imported.
	both := strings.ReplaceAll(strings.ReplaceAll(inspected, "macvlan", "bridge"), "10.78.0.0/24", "10.77.0.0/25")
	plan = Plan(read(t, both), nil)
	if got := strings.Join(actions(plan), ", "); got != "conflict vlan, create shop, skip bridge" {
		t.Error(got)
	}
	if why = strings.Join(plan[0].Why, "; "); why != "subnet 10.77.0.0/25 overlaps with 10.77.0.0/24 of network shop, which is imported too" {
		t.Error(why)
	}
}

func TestPlanOfList(t *testing.T) {
	plan := Plan(read(t, listed+listed), nil)
	if got := strings.Join(actions(plan), ", "); got != "create shop, skip host" {
		t.Fatal(got)
	}
	if len(plan[0].Notes) != 1 || !strings.Contains(plan[0].Notes[0], "a subnet is chosen") || !plan[0].request.GetInternal() {
		t.Errorf("%+v", plan[0])
	}
}

func TestPlanOfOurOwn(t *testing.T) {
	shadow := `[{"Name": "arca-0b", "Id": "` + shopID + `", "Driver": "arca", "Scope": "local", "IPAM": {"Config": []}, "Options": {"network.arca.dev/network": "` + vlanID + `"}}]`
	plan := Plan(read(t, shadow), nil)
	if got := strings.Join(actions(plan), ", "); got != "skip arca-0b" {
		t.Error(got)
	}
	plan = Plan(read(t, strings.ReplaceAll(listed, "bridge", "arca")), nil)
	if got := strings.Join(actions(plan), ", "); got != "conflict shop, skip host" || !strings.Contains(plan[0].Why[0], "a list does not tell") {
		t.Errorf("%s %v", got, plan[0].Why)
	}
}

// fake is a control API that makes what it is asked for, or refuses it.
type fake struct {
	controlpb.NetworkControlClient
	made   []*controlpb.BridgeInfo
	refuse string
}

func (f *fake) CreateBridge(_ context.Context, r *controlpb.CreateBridgeRequest, _ ...grpc.CallOption) (*controlpb.CreateBridgeResponse, error) {
	if r.GetName() == f.refuse {
		return nil, status.Error(codes.FailedPrecondition, "no")
	}
	f.made = append(f.made, &controlpb.BridgeInfo{NetworkId: r.GetNetworkId(), Name: r.GetName(), Annotations: r.GetAnnotations(), Subnets: r.GetSubnets()})
	return &controlpb.CreateBridgeResponse{}, nil
}

func TestApply(t *testing.T) {
	ctx, c := context.Background(), &fake{}
	sources := read(t, inspected)
	if err := Apply(ctx, c, Plan(sources, nil), false); !errors.Is(err, ErrConflicts) || len(c.made) != 0 {
		t.Errorf("%v %v", err, c.made)
	}
	if err := Apply(ctx, c, Plan(sources, nil), true); err != nil || len(c.made) != 1 || c.made[0].NetworkId != shopID {
		t.Errorf("%v %v", err, c.made)
	}
	// Again: there is nothing to do.
	plan := Plan(sources, c.made)
	if got := strings.Join(actions(plan), ", "); got != "conflict vlan, exists shop, skip bridge" {
		t.Error(got)
	}
	if err := Apply(ctx, c, plan, true); err != nil || len(c.made) != 1 {
		t.Errorf("%v %v", err, c.made)
	}
	// One that is refused does not stop the others.
	c = &fake{refuse: "shop"}
	both := strings.ReplaceAll(inspected, "macvlan", "bridge")
	if err := Apply(ctx, c, Plan(read(t, both), nil), false); err == nil || !strings.Contains(err.Error(), "network shop: ") || len(c.made) != 1 || c.made[0].Name != "vlan" {
		t.Errorf("%v %v", err, c.made)
	}
}

func TestPrint(t *testing.T) {
	plan := Plan(read(t, inspected), nil)
	var table, document bytes.Buffer
	if err := errors.Join(PrintTable(&table, plan), PrintJSON(&document, plan)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if !strings.HasPrefix(lines[1], "conflict  vlan ") || !strings.Contains(lines[2], "0a0000000000  bridge   10.77.0.0/24,fd00:77::/64  option com.docker") {
		t.Error(table.String())
	}
	var back []Item
	if err := json.Unmarshal(document.Bytes(), &back); err != nil || len(back) != 3 || back[0].Action != Conflict || back[1].ID != shopID {
		t.Errorf("%v %v", back, err)
	}
}
