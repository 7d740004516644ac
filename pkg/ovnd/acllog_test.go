// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	aclLine   = `2026-01-01T00:00:00.000Z|00012|acl_log(ovn_pinctrl0)|INFO|name="web/ingress[0]", verdict=drop, severity=info, direction=to-lport: tcp,vlan_tci=0x0000,nw_src=10.1.0.2`
	otherLine = `2026-01-01T00:00:00.000Z|00013|main|INFO|OVS IDL reconnected, force recompute.`
)

// TestFollower: lines are read whole and once, though they are written in
// pieces, and also those of the file that follows when one was put aside.
func TestFollower(t *testing.T) {
	var got []ACLLine
	f := &follower{path: filepath.Join(t.TempDir(), "log"), fn: func(l ACLLine) { got = append(got, l) }}
	defer f.close()
	write := func(s string) {
		t.Helper()
		file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write(aclLine + "\n")
	if err := f.open(io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	f.read() // what was there before is old
	write(otherLine + "\n" + aclLine[:40])
	f.read()
	write(aclLine[40:] + "\n")
	f.read()
	want := ACLLine{Name: "web/ingress[0]", Verdict: "drop", Direction: "to-lport", Packet: "tcp,vlan_tci=0x0000,nw_src=10.1.0.2"}
	if diff := cmp.Diff([]ACLLine{want}, got); diff != "" {
		t.Error(diff)
	}
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		t.Fatal(err)
	}
	write(aclLine + "\n")
	if err := f.open(io.SeekStart); err != nil {
		t.Fatal(err)
	}
	f.read()
	if len(got) != 2 {
		t.Errorf("%d lines, want 2", len(got))
	}
}
