// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd_test

import (
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnd/ovntest"
)

// TestPortBuffers: a port gets room to queue when it is told of, keeps it over a
// restart of ovs-vswitchd, which nobody tells of, and sockets of others are left
// alone.
func TestPortBuffers(t *testing.T) {
	o := ovntest.Options(t, testr.New(t))
	s := ovntest.Start(t, o)
	const wide = "2097152"
	other, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(other) })
	had := receiveBuffer(t, other)

	command(t, "ip", "link", "add", "wide0", "type", "veth", "peer", "name", "wide1")
	t.Cleanup(func() { command(t, "ip", "link", "del", "wide0") })
	vsctl := func(args ...string) {
		t.Helper()
		if out, err := ovnd.Tool(t.Context(), o, "ovs-vsctl", append([]string{"--db=" + s.Endpoints().OVS}, args...)...); err != nil {
			t.Fatalf("ovs-vsctl %v: %v: %s", args, err, out)
		}
	}
	vsctl("add-br", "wide", "--", "set", "Bridge", "wide", "datapath_type=netdev", "--", "add-port", "wide", "wide0")
	s.PortsChanged()
	eventuallyBuffer(t, "wide0", wide)

	kill(t, s, "ovs-vswitchd")
	eventuallyBuffer(t, "wide0", wide)
	if now := receiveBuffer(t, other); now != had {
		t.Errorf("another program's packet socket has a buffer of %d bytes, had %d", now, had)
	}
}

func receiveBuffer(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// eventuallyBuffer waits until the packet socket at an interface has a buffer of so
// many bytes.
func eventuallyBuffer(t *testing.T, device, want string) {
	t.Helper()
	size := regexp.MustCompile(`:` + device + `\s.*skmem:\(r\d+,rb(\d+),`)
	var out []byte
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		out = command(t, "ss", "-0amnO")
		if m := size.FindSubmatch(out); m != nil && string(m[1]) == want {
			return
		}
	}
	t.Fatalf("the packet socket at %s does not get a buffer of %s bytes:\n%s", device, want, out)
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return out
}
