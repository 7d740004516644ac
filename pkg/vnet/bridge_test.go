// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/pkg/vnet/internal/ovstest"
)

// repairTime is how long a repair of the bridge, and traffic after it, may take. It is
// shorter than the 30 s in which a spanning tree lets nothing pass.
const repairTime = 10 * time.Second

// What a person may do to the bridge by hand that keeps OVN from programming it, or it
// from forwarding, is put right upon the database's word alone.
func TestBridgeEditedByHand(t *testing.T) {
	h := newHost(t)
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	h.update(p1)
	h.update(p2)
	h.Forward("br-int")
	h.mustTalk(n1, n2, ip4(2))
	// Datagrams that do not stop, as those of a container that tries again: what
	// ovs-vswitchd has decided about them stays in its datapath while they come.
	var steady net.Conn
	n1.Do(func() (err error) {
		steady, err = net.Dial("udp", net.JoinHostPort(ip4(2), "9"))
		return err
	})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			if _, err := steady.Write([]byte{0}); errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	defer func() {
		_ = steady.Close()
		<-sent
	}()
	limited := func(table, limit string) []string {
		return []string{"--id=@t", "create", "Flow_Table", "name=" + table, "flow_limit=" + limit, "overflow_policy=refuse", "prefixes=ip_dst",
			"--", "set", "Bridge", "br-int", "flow_tables:0=@t"}
	}
	for _, c := range []struct {
		edit []string
		get  string // command of ovs-vsctl, and what it must say
		want string
		gone bool // the flows are, or must be written again: there is no OVN that would
	}{
		{[]string{"set-fail-mode", "br-int", "standalone"}, "get Bridge br-int fail_mode", "secure", true},
		{[]string{"del-fail-mode", "br-int"}, "get Bridge br-int fail_mode", "secure", true},
		{[]string{"--no-wait", "set", "Bridge", "br-int", "datapath_type=none"}, "get Bridge br-int datapath_type", "netdev", true},
		{[]string{"set", "Bridge", "br-int", "protocols=OpenFlow10"}, "get Bridge br-int protocols", "[OpenFlow10, OpenFlow13, OpenFlow15]", false},
		{[]string{"set", "Bridge", "br-int", "protocols=OpenFlow14,OpenFlow15"}, "get Bridge br-int protocols", "[OpenFlow13, OpenFlow14, OpenFlow15]", false},
		{[]string{"clear", "Bridge", "br-int", "protocols"}, "", "", false},
		{[]string{"set", "Bridge", "br-int", "stp_enable=true"}, "get Bridge br-int stp_enable", "false", false},
		{[]string{"set", "Bridge", "br-int", "rstp_enable=true"}, "get Bridge br-int rstp_enable", "false", false},
		{[]string{"clear", "Bridge", "br-int", "other_config"}, "get Bridge br-int other_config", `{disable-in-band="true"}`, false},
		{[]string{"set", "Bridge", "br-int", "other_config:disable-in-band=false"}, "get Bridge br-int other_config", `{disable-in-band="true"}`, false},
		{limited("hand", "0"), "get Flow_Table hand flow_limit prefixes", "[]\n[ip_dst]", true},
		{[]string{"set", "Flow_Table", "hand", "flow_limit=1"}, "get Flow_Table hand flow_limit prefixes", "[]\n[ip_dst]", true},
		// Sometimes ovs-vswitchd 3.5.0 drops what it dropped for a mirror until flows change.
		{[]string{"--id=@p", "get", "Port", p1.Name, "--", "--id=@m", "create", "Mirror", "name=over", "select_all=true", "output_port=@p",
			"--", "set", "Bridge", "br-int", "mirrors=@m"}, "get Bridge br-int mirrors", "[]", true},
		{[]string{"--id=@p", "get", "Port", "br-int", "--", "remove", "Bridge", "br-int", "ports", "@p"}, "get Interface br-int type", "internal", false},
		{[]string{"--no-wait", "del-br", "br-int"}, "get Bridge br-int fail_mode", "secure", true},
		{[]string{"del-br", "br-int"}, "get Bridge br-int fail_mode", "secure", true},
		{[]string{"--no-wait", "clear", "Open_vSwitch", ".", "bridges", "external_ids"}, "get Bridge br-int fail_mode", "secure", true},
	} {
		what := strings.Join(c.edit, " ")
		h.events.take()
		t.Log(what)
		from := time.Now()
		h.Vsctl(c.edit...)
		if c.get == "" {
			continue
		}
		h.events.wait(Event{All: true, Reason: BridgeRepaired})
		if got := h.Vsctl(strings.Fields(c.get)...); got != c.want {
			t.Fatalf("after %s: %s\nwant %s", what, got, c.want)
		}
		if c.gone {
			if _, err := h.m.RoundTrip(t.Context()); err != nil {
				t.Fatalf("after %s: %v", what, err)
			}
			h.Forward("br-int")
			h.eventually(func() error { // the offload of ports depends on the bridge's device
				if !h.m.Info().TSO {
					return errors.New("TSO not seen yet")
				}
				return h.m.Check(t.Context())
			})
			h.update(p1)
			h.update(p2)
		}
		h.mustTalk(n1, n2, ip4(2))
		if d := time.Since(from); d > repairTime {
			t.Errorf("after %s: traffic passes after %v, want at most %v", what, d, repairTime)
		}
		h.eventually(func() error { return h.m.Check(t.Context()) })
		h.quiet("after "+what, func() { h.update(p1); h.update(p2) })
	}
	if got := h.Vsctl("list-ports", "br-int"); got != p1.Name+"\n"+p2.Name {
		t.Errorf("ports: %q", got)
	}
}

// What somebody has set in the bridge's row that harms neither stays, also when something
// beside it is put right.
func TestBridgeSettingsOfOthersStay(t *testing.T) {
	h := newHost(t)
	n1, n2 := ovstest.NewNetns(t, "n1"), ovstest.NewNetns(t, "n2")
	p1, p2 := vethPort(1, n1.Path), vethPort(2, n2.Path)
	h.update(p1)
	h.update(p2)
	h.Vsctl("add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev", "protocols=OpenFlow10", "fail_mode=standalone", "flow_tables:0=@t",
		"--", "--id=@t", "create", "Flow_Table", "name=other", "flow_limit=7")
	get := func() string {
		return h.Vsctl("--columns=controller,mirrors,netflow,sflow,mcast_snooping_enable,flood_vlans,external_ids,flow_tables", "list", "Bridge", "br-int") +
			h.Vsctl("get", "Bridge", "br-int", "other_config:mac-aging-time", "other_config:hwaddr", "other_config:datapath-id")
	}
	// Setting the first controller has ovs-vswitchd drop all flows.
	h.Vsctl("set-controller", "br-int", "tcp:127.0.0.1:1",
		"--", "--id=@m", "create", "Mirror", "name=m", "select_all=true", "--", "set", "Bridge", "br-int", "mirrors=@m",
		"--", "--id=@n", "create", "NetFlow", `targets="127.0.0.1:1"`, "--", "set", "Bridge", "br-int", "netflow=@n",
		"--", "--id=@s", "create", "sFlow", `targets="127.0.0.1:1"`, "--", "set", "Bridge", "br-int", "sflow=@s",
		"--", "--id=@t", "create", "Flow_Table", "name=hand", "prefixes=ip_src",
		"--", "set", "Bridge", "br-int", "mcast_snooping_enable=true", "flood_vlans=7", "external_ids:hand=x", "flow_tables:1=@t",
		"other_config:mac-aging-time=60", "other_config:hwaddr=02:00:00:00:99:99", "other_config:datapath-id=0000000000000042")
	before := get()
	h.events.take()
	h.quiet("settings that harm nothing", func() {
		h.Vsctl("set", "Bridge", "br-int", "external_ids:hand=y")
		h.Vsctl("set", "Bridge", "br-int", "external_ids:hand=x")
	})
	h.Vsctl("set", "Bridge", "br-int", "protocols=OpenFlow10", "stp_enable=true", "--", "remove", "Bridge", "br-int", "other_config", "disable-in-band")
	h.events.wait(Event{All: true, Reason: BridgeRepaired})
	if after := get(); after != before {
		t.Errorf("the repair changed what is not its business:\n%s\nwant\n%s", after, before)
	}
	if got := h.Vsctl("get", "Bridge", "br-other", "protocols", "fail_mode", "--", "get", "Flow_Table", "other", "flow_limit"); got != "[OpenFlow10]\nstandalone\n7" {
		t.Errorf("the other bridge: %s", got)
	}
	h.Forward("br-int")
	h.mustTalk(n1, n2, ip4(2))
	h.Vsctl("del-br", "br-other")
}
