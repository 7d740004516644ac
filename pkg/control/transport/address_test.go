// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever the text, it is refused by an error that shows it, or what was read
// can be listened on or dialled as it is.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"unix:///run/s", "unix:///a%20b/../c", "vfkit:///s", "krunkit:///s", "firecracker:///v.sock:9999", "cloud-hypervisor:///a:b:1",
		"vsock://:9999", "vsock://2:1", "tcp://[::1]:0", "tcp://h:65535", "fd://3", "", "://", "tcp://[", "unix:///%", "fd://99999999999999999999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parse(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "address ") {
				t.Errorf("the error for %q does not name the address: %v", s, err)
			}
			return
		}
		switch a.scheme {
		case "unix", "vfkit", "krunkit", "firecracker", "cloud-hypervisor":
			if !filepath.IsAbs(a.path) || len(a.path) > maxPath || strings.ContainsRune(a.path, 0) || filepath.Clean(a.path) != a.path {
				t.Errorf("%q: path %q", s, a.path)
			}
			if p := a.scheme; (p == "firecracker" || p == "cloud-hypervisor") && (a.port == 0 || a.port == unix.VMADDR_PORT_ANY) {
				t.Errorf("%q: port %d", s, a.port)
			}
		case "vsock":
			if a.port == 0 || a.port == unix.VMADDR_PORT_ANY {
				t.Errorf("%q: port %d", s, a.port)
			}
		case "tcp":
			if a.host == "" || a.port > 65535 {
				t.Errorf("%q: %q port %d", s, a.host, a.port)
			}
		case "fd":
			if a.fd < 3 {
				t.Errorf("%q: file descriptor %d", s, a.fd)
			}
		default:
			t.Errorf("%q: scheme %q", s, a.scheme)
		}
	})
}
