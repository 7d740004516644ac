// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// TestCheck: what cannot be dialled, or listened on, is told before it is tried, by an
// error that names the address and what is allowed.
func TestCheck(t *testing.T) {
	none, some := (*tls.Config)(nil), &tls.Config{MinVersion: tls.VersionTLS13}
	for _, c := range []struct {
		address      string
		config       *tls.Config
		dial, listen string // what the error says, "" for none
	}{
		{"unix:///run/s", none, "", ""},
		{"vsock://2:9999", none, "", ""},
		{"vsock://:9999", none, "vsock://CID:PORT", ""},
		{"tcp://h:9999", some, "", ""},
		{"tcp://h:9999", none, "client certificate", ""},
		{"tcp://h:0", some, "1 to 65535", ""},
		{"fd://3", none, "listening only", ""},
		{"vfkit:///s", none, "", "dialling only: must be unix, vsock, tcp or fd"},
		{"krunkit:///s", none, "", "dialling only"},
		{"firecracker:///s:1", none, "", "dialling only"},
		{"cloud-hypervisor:///s:1", none, "", "dialling only"},
		{"/run/s", none, "must be unix:///PATH", "must be unix:///PATH"},
		{"unix://run/s", none, "three slashes", "three slashes"},
		{"http://h:1", some, `scheme "http"`, `scheme "http"`},
	} {
		for what, of := range map[string]struct {
			err  error
			want string
		}{"dial": {transport.CheckDial(c.address, c.config), c.dial}, "listen": {transport.CheckListen(c.address), c.listen}} {
			if (of.err == nil) != (of.want == "") || of.err != nil && (!strings.Contains(of.err.Error(), of.want) || !strings.Contains(of.err.Error(), c.address)) {
				t.Errorf("to %s %s: %v, want %q", what, c.address, of.err, of.want)
			}
		}
	}
}
