// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vas-solutus/arca-network/internal/nettest"
)

func TestObstacles(t *testing.T) {
	l := newLab(t)
	l.apply(natted(), true)
	l.inet.Serve("udp", inet4, 7000, "inet")
	const hook = "type filter hook forward priority filter; "
	for name, c := range map[string]struct {
		chains string
		found  string
	}{
		"knows nobody":       {"chain FORWARD { " + hook + "policy drop; }", "ip other FORWARD"},
		"accepts by default": {"chain FORWARD { " + hook + "policy accept; }", ""},
		"another hook":       {"chain INPUT { type filter hook input priority filter; policy drop; }", ""},
		"knows the uplink":   {"chain FORWARD { " + hook + `policy drop; iifname "uplink0" accept; oifname "uplink0" accept; }`, ""},
		"knows it further on": {`chain B { iifname "uplink0" accept; oifname "uplink0" accept; }` +
			"\nchain A { counter goto B; }\nchain FORWARD { " + hook + "policy drop; ip protocol tcp jump B; jump A; }", ""},
		"one way only":              {"chain FORWARD { " + hook + `policy drop; iifname "uplink0" accept; }`, "ip other FORWARD"},
		"drops the uplink":          {"chain FORWARD { " + hook + `policy drop; iifname "uplink0" drop; oifname "uplink0" drop; }`, "ip other FORWARD"},
		"another interface's rules": {"chain FORWARD { " + hook + `policy drop; iifname "uplink01" accept; oifname "uplink01" accept; }`, "ip other FORWARD"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "table ip other {\n" + c.chains + "\n}\n"
			cmd := exec.Command("nft", "-f", "-")
			cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, " }", "\n}"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			defer nettest.Run(t, "nft", "delete table ip other")
			obstacles, err := l.m.Obstacles()
			if got := strings.Join(obstacles, ","); err != nil || got != c.found {
				t.Errorf("obstacles: %q, %v, want %q", got, err, c.found)
			}
			// What was found is true of packets.
			if c.found == "" {
				l.eps.Reaches("udp", web4, inet4, 7000, "inet "+host4)
			} else if got, err := l.eps.Ask("udp", web4, inet4, 7000, 300*time.Millisecond); err == nil {
				t.Errorf("it is no obstacle: %q", got)
			}
		})
	}
}

// TestCheckSeesWhatIsWrong: nobody puts the table back here.
func TestCheckSeesWhatIsWrong(t *testing.T) {
	l := newLab(t)
	check := func(want string) {
		t.Helper()
		err := l.m.Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("check: %v, want %q", err, want)
		}
	}
	check("not been written yet")
	l.apply(natted(), true)
	check("")
	nettest.Run(t, "nft", "add table ip other") // somebody else's transaction
	check("")
	nettest.Run(t, "nft", "add rule inet arca forward accept")
	check("are not ours")
	nettest.Run(t, "nft", "delete table inet arca")
	check("is not there")
	l.m.forget()
	l.apply(natted(), true)
	check("")
}
