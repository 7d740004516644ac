// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// faults are all of them, in the order in which they are run.
func faults() []fault {
	all := []fault{
		{name: "kill -9 of arca-network under writes", times: 20, shortTimes: 3, short: true, load: true, loseNone: true, do: killOurselves},
		{name: "kill -9 of ovsdb-server", do: kill(ovsdbServer)},
		{name: "kill -9 of ovs-vswitchd", short: true, do: kill(vswitchd)},
		{name: "kill -9 of ovn-northd", do: kill(northd)},
		{name: "kill -9 of ovn-controller", do: kill(ovnController)},
		{name: "kill -9 of everything at once", do: killAll},
		{name: "northbound database wiped", do: wipe("nb.db")},
		{name: "southbound database wiped", do: wipe("sb.db")},
		{name: "Open_vSwitch database wiped", loseNone: true, do: wipe("conf.db")},
		{name: "all three databases wiped", short: true, do: wipe("nb.db", "sb.db", "conf.db")},
		{name: "northbound rows edited by hand", do: editRows},
		{name: "logical port deleted by hand", short: true, do: func(ctx context.Context, c *course) error {
			return c.nbctl("lsp-del", c.logicalPortOf("b"))
		}},
		{name: "logical switch deleted by hand", do: func(ctx context.Context, c *course) error {
			return c.nbctl("ls-del", topology.SwitchName(trafficNetwork))
		}},
		{name: "OVS port deleted by hand", short: true, do: func(ctx context.Context, c *course) error {
			return c.vsctl("del-port", c.portOf("b"))
		}},
		{name: "southbound port binding deleted by hand, on which ovn-northd ends itself", short: true, do: unbind},
		{name: "settings in table Open_vSwitch cleared by hand", do: func(_ context.Context, c *course) error {
			return c.vsctl("clear", "Open_vSwitch", ".", "external_ids")
		}},
		{name: "all flows of the bridge removed by hand", short: true, do: func(ctx context.Context, c *course) error {
			_, err := c.tool(ctx, "ovs-ofctl", "-OOpenFlow15", "--timeout=10", "del-flows", "unix:"+filepath.Join(c.run, ovnd.Bridge+".mgmt"))
			return err
		}},
		{name: "container's interface deleted by hand", do: func(context.Context, *course) error {
			return ip("-n", "b", "link", "del", "eth0")
		}},
		{name: "store file copied back from earlier", short: true, do: copyBack},
		{name: "disk full and back, under writes", short: true, load: true, do: fullDisk},
		{name: "ovn-northd hangs (SIGSTOP) under writes", short: true, load: true, do: hang},
		{name: "clock jumps an hour ahead, an hour back", short: true, do: jumpClocks},
		{name: "namespace of a container vanishes and comes back", short: true, do: vanish},
		{name: "200 containers attached and detached at once", short: true, do: crowd},
		{name: "started with nothing but the store file", short: true, do: emptyStart},
	}
	return all
}

// killOurselves kills arca-network at a random moment, and starts it again.
func killOurselves(_ context.Context, c *course) error {
	time.Sleep(time.Duration(c.random.Int64N(int64(1500 * time.Millisecond)))) // the moment is the fault
	c.began()
	if err := c.crash(); err != nil {
		return err
	}
	return c.start()
}

// unbind deletes the router's port on the gateway chassis, and leaves the switch's that
// goes with it.
func unbind(ctx context.Context, c *course) error {
	sbctl := func(args ...string) (string, error) {
		return c.tool(ctx, "ovn-sbctl", append([]string{"--db=" + c.endpoint(), "--timeout=10"}, args...)...)
	}
	found, err := sbctl("--bare", "--columns=_uuid", "find", "Port_Binding", "logical_port=cr-"+topology.JoinSwitchName+"-rtr")
	if err != nil {
		return err
	}
	_, err = sbctl("destroy", "Port_Binding", strings.TrimSpace(found))
	return err
}

func kill(daemon string) func(context.Context, *course) error {
	return func(_ context.Context, c *course) error { return c.signal(syscall.SIGKILL, daemon) }
}

func killAll(_ context.Context, c *course) error {
	if err := c.crash(); err != nil {
		return err
	}
	if err := c.signal(syscall.SIGKILL, daemonNames...); err != nil {
		return err
	}
	return c.start()
}

func wipe(files ...string) func(context.Context, *course) error {
	return func(_ context.Context, c *course) error {
		for _, f := range files {
			if err := os.Remove(filepath.Join(c.state, "ovn", f)); err != nil {
				return err
			}
		}
		return c.signal(syscall.SIGKILL, ovsdbServer)
	}
}

func (w *world) portOf(attachment string) string {
	fields := strings.Fields(w.base["attachment "+attachment])
	return fields[len(fields)-1]
}

func (w *world) logicalPortOf(attachment string) string {
	return "arca-" + strings.Fields(w.base["attachment "+attachment])[0]
}

func editRows(_ context.Context, c *course) error {
	return c.nbctl("lsp-set-addresses", c.logicalPortOf("b"), "02:00:00:00:00:99 10.1.0.99",
		"--", "set", "Logical_Router_Port", "arca-rtr-"+trafficNetwork, "networks=10.1.0.9/24",
		"--", "lsp-set-port-security", c.logicalPortOf("a"), "02:00:00:00:00:98",
		"--", "clear", "Address_Set", topology.AddressSetSubnets4, "addresses")
}

// backup copies the store's file.
func (w *world) backup() (string, error) {
	file := filepath.Join(w.dir, "backup.db")
	out, err := command("arca-network", "backup", "--state-dir", w.state, file)
	if err != nil {
		return "", fmt.Errorf("arca-network backup: %w: %s", err, out)
	}
	return file, nil
}

// copyBack puts an old copy in the store's place: what was made since goes, what
// was deleted since comes back as it was.
func copyBack(ctx context.Context, c *course) error {
	if err := ip("netns", "add", "later"); err != nil {
		return err
	}
	file, err := c.backup()
	if err != nil {
		return err
	}
	isLater := func(name string) bool { return name == "c" || isLoad(name) }
	if err := c.deleteAmong(ctx, func(name string) bool { return name == "c" }); err != nil {
		return err
	}
	if err := c.clientNow().Create(ctx, network(loadPrefix+"later")); err != nil {
		return err
	}
	if err := c.clientNow().Create(ctx, attachment(loadPrefix+"later", loadPrefix+"later", "later")); err != nil {
		return err
	}
	if err := c.untilReady(ctx, isLater); err != nil {
		return err
	}
	c.began()
	if err := c.crash(); err != nil {
		return err
	}
	if err := c.putBack(file); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	return ip("netns", "del", "later")
}

// putBack makes a copy the store's file.
func (w *world) putBack(file string) error {
	for _, old := range []string{"state.db", "state.db-wal", "state.db-shm"} {
		if err := os.Remove(filepath.Join(w.state, old)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.state, "state.db"), data, 0o600)
}

// hold is how long a lasting fault lasts.
func hold(long time.Duration) time.Duration {
	if *short {
		return long / 6
	}
	return long
}

// fullDisk fills the disk until writes are refused, for a while.
func fullDisk(ctx context.Context, c *course) error {
	ballast := filepath.Join(c.state, "ballast")
	if err := fillDisk(ballast); err != nil {
		return err
	}
	_, before := c.load.counts()
	err := until(ctx, "a write to be refused", func() error {
		if _, refused := c.load.counts(); refused == before {
			return fmt.Errorf("%d writes were refused", refused)
		}
		return nil
	})
	if err != nil {
		return err
	}
	time.Sleep(hold(30 * time.Second)) // the fault lasts
	_, after := c.load.counts()
	c.said = fmt.Sprintf("full for %v, %d writes refused", hold(30*time.Second), after-before)
	if err := os.Remove(ballast); err != nil {
		return err
	}
	c.began()
	return nil
}

// fillDisk writes a file until there is no space, and then as small pieces as
// there are.
func fillDisk(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10} {
		block := make([]byte, size)
		for err == nil {
			_, err = f.Write(block)
		}
		if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
			return err
		}
		err = nil
	}
	return nil
}

// hang stops northd for a while. What is written meanwhile is acknowledged.
func hang(_ context.Context, c *course) error {
	if err := c.signal(syscall.SIGSTOP, northd); err != nil {
		return err
	}
	before, _ := c.load.counts()
	time.Sleep(hold(30 * time.Second)) // the fault lasts
	after, _ := c.load.counts()
	if err := c.signal(syscall.SIGCONT, northd); err != nil {
		return err
	}
	c.began()
	c.said = fmt.Sprintf("for %v, %d writes acknowledged meanwhile", hold(30*time.Second), after-before)
	if after == before {
		return fmt.Errorf("no write was acknowledged while ovn-northd did not answer")
	}
	return nil
}

// jumpClocks has all programs see their wall clock jump ahead and back.
func jumpClocks(ctx context.Context, c *course) error {
	if err := ip("netns", "add", "clock"); err != nil {
		return err
	}
	for i, by := range []time.Duration{time.Hour, -time.Hour, 0} {
		pids := []int{c.daemon.Process.Pid}
		for _, name := range daemonNames {
			pid, err := c.pid(name)
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		for _, pid := range pids {
			if err := jumpClock(pid, by); err != nil {
				return fmt.Errorf("clock of process %d: %w", pid, err)
			}
		}
		// A new object tells what arca-network takes the time for, and that it works.
		n := network(fmt.Sprintf("%sclock-%d", loadPrefix, i))
		if err := c.clientNow().Create(ctx, n); err != nil {
			return err
		}
		if off := time.Until(n.CreationTimestamp.Time) - by; off < -time.Minute || off > time.Minute {
			return fmt.Errorf("the clock was to jump by %v, and is %v off that", by, off)
		}
		a := attachment(n.Name, n.Name, "clock")
		if err := c.clientNow().Create(ctx, a); err != nil {
			return err
		}
		if err := c.untilReady(ctx, nil); err != nil {
			return fmt.Errorf("clock %v ahead: %w", by, err)
		}
		if err := c.deleteAmong(ctx, isLoad); err != nil {
			return fmt.Errorf("clock %v ahead: %w", by, err)
		}
	}
	c.began()
	return ip("netns", "del", "clock")
}

// vanish deletes the namespace of a container and makes it again.
func vanish(ctx context.Context, c *course) error {
	if err := ip("netns", "del", "c"); err != nil {
		return err
	}
	err := until(ctx, "the attachment to notice", func() error {
		if err := c.allReady(ctx, func(name string) bool { return name == "c" }); err == nil {
			return fmt.Errorf("it is Ready without its namespace")
		} else if !strings.Contains(err.Error(), "NetnsNotFound") {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := ip("netns", "add", "c"); err != nil {
		return err
	}
	c.began()
	return nil
}

// emptyStart starts arca-network where there is nothing but the store's file.
func emptyStart(_ context.Context, c *course) error {
	file, err := c.backup()
	if err != nil {
		return err
	}
	if err := c.crash(); err != nil {
		return err
	}
	if err := c.down(); err != nil {
		return err
	}
	left, err := os.ReadDir(c.state)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(c.state, e.Name())); err != nil {
			return err
		}
	}
	if err := c.putBack(file); err != nil {
		return err
	}
	c.began()
	return c.start()
}
