// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OVS is an ovsdb-server and an ovs-vswitchd.
type OVS struct {
	t    testing.TB
	root string
	// Dir holds sockets, database and logs.
	Dir string
	// Socket is the database in the form that ovsdb clients take.
	Socket   string
	server   *exec.Cmd
	vswitchd *exec.Cmd
}

// New makes a database and starts ovsdb-server only. Everything is stopped when
// the test ends.
func New(t testing.TB) *OVS {
	t.Helper()
	o := &OVS{t: t, root: Root(t), Dir: t.TempDir()}
	o.Socket = "unix:" + filepath.Join(o.Dir, "db.sock")
	t.Cleanup(func() {
		o.KillVswitchd()
		o.KillServer()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(o.Dir, "ovs-vswitchd.log"))
			t.Logf("ovs-vswitchd log, end:\n%s", log[max(0, len(log)-4000):])
		}
	})
	o.CreateDB()
	o.StartServer()
	o.Vsctl("--no-wait", "init")
	return o
}

// Start makes both run; tso is userspace-tso-enable.
func Start(t testing.TB, tso bool) *OVS {
	t.Helper()
	o := New(t)
	o.Vsctl("--no-wait", "set", "Open_vSwitch", ".", fmt.Sprintf("other_config:userspace-tso-enable=%v", tso))
	o.StartVswitchd()
	return o
}

func (o *OVS) cmd(ctx context.Context, path string, args ...string) *exec.Cmd {
	argv := command(o.root, path, args...)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+o.Dir, "OVS_LOGDIR="+o.Dir, "OVS_DBDIR="+o.Dir, "OVS_SYSCONFDIR="+o.Dir)
	return c
}

// Run runs a program of the root to its end.
func (o *OVS) Run(path string, args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := o.cmd(ctx, path, args...).CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Vsctl is ovs-vsctl, standing for a person or for ovn-controller.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	return o.Run("/usr/bin/ovs-vsctl", append([]string{"--db=" + o.Socket, "--timeout=20"}, args...)...)
}

// Forward makes a bridge an ordinary switch, in place of OVN's flows.
func (o *OVS) Forward(bridge string) {
	o.t.Helper()
	o.Run("/usr/bin/ovs-ofctl", "-OOpenFlow15", "add-flow", "unix:"+filepath.Join(o.Dir, bridge+".mgmt"), "actions=NORMAL")
}

// CreateDB makes an empty database in place of any that is there.
func (o *OVS) CreateDB() {
	o.t.Helper()
	db := filepath.Join(o.Dir, "conf.db")
	_ = os.Remove(db)
	_ = os.Remove(filepath.Join(o.Dir, ".conf.db.~lock~"))
	o.Run("/usr/bin/ovsdb-tool", "create", db, filepath.Join(o.root, "/usr/share/openvswitch/vswitch.ovsschema"))
}

// StartServer starts ovsdb-server and waits until it listens.
func (o *OVS) StartServer() {
	o.t.Helper()
	o.server = o.daemon("/usr/sbin/ovsdb-server", filepath.Join(o.Dir, "conf.db"), "--remote=p"+o.Socket,
		"--unixctl="+filepath.Join(o.Dir, "ovsdb-server.ctl"), "--log-file="+filepath.Join(o.Dir, "ovsdb-server.log"))
	o.Eventually(func() error {
		// The file alone says nothing: it is there before anybody listens.
		c, err := net.Dial("unix", filepath.Join(o.Dir, "db.sock"))
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

// StartVswitchd starts ovs-vswitchd; it is not waited for.
func (o *OVS) StartVswitchd() {
	o.t.Helper()
	o.vswitchd = o.daemon(vswitchd(o.root), o.Socket,
		"--unixctl="+filepath.Join(o.Dir, "ovs-vswitchd.ctl"), "--log-file="+filepath.Join(o.Dir, "ovs-vswitchd.log"))
}

func (o *OVS) daemon(path string, args ...string) *exec.Cmd {
	o.t.Helper()
	c := o.cmd(context.Background(), path, append(args, "-vconsole:off", "--no-chdir")...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		o.t.Fatalf("%s: %v", path, err)
	}
	return c
}

// KillServer kills ovsdb-server with SIGKILL.
func (o *OVS) KillServer() {
	kill(&o.server)
	_ = os.Remove(filepath.Join(o.Dir, "db.sock"))
}

// KillVswitchd kills ovs-vswitchd with SIGKILL.
func (o *OVS) KillVswitchd() { kill(&o.vswitchd) }

// Server is the process of ovsdb-server.
func (o *OVS) Server() *os.Process { return o.server.Process }

func kill(c **exec.Cmd) {
	if *c != nil {
		_ = (*c).Process.Kill()
		_ = (*c).Wait()
		*c = nil
	}
}

// Eventually calls check until it succeeds, for facts of other processes that
// nothing tells of. It fails the test after 20 seconds.
func (o *OVS) Eventually(check func() error) {
	o.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			o.t.Fatalf("still not so after 20 s: %v", err)
		}
	}
}
