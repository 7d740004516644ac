// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// cli makes the same with ovn-nbctl, ovs-vsctl and ip, one process for each
// target: all commands for one object in one process.
type cli struct {
	*daemons
	floor floor // makes what there has to be before
}

func (c *cli) start() error { return c.floor.start() }
func (c *cli) stop() error  { return c.floor.stop() }

func (c *cli) network(i int) error {
	sw, router := topology.SwitchName(networkName(i)), "arca-rtr-"+networkName(i)
	port := "arca-sw-" + networkName(i)
	return c.nbctl(
		"ls-add", sw, "--",
		"lrp-add", topology.RouterName, router, topology.RouterMAC(networkName(i)).String(), gateway(i)+"/24", "--",
		"lsp-add", sw, port, "--", "lsp-set-type", port, "router", "--", "lsp-set-addresses", port, "router", "--",
		"lsp-set-options", port, "router-port="+router, "--",
		"pg-add", topology.PortGroupName(uid(networkName(i))), "--",
		"add", "Address_Set", topology.AddressSetSubnets4, "addresses", quote(subnet(i)), "--",
		"add", "Address_Set", topology.AddressSetGateways4, "addresses", quote(gateway(i)))
}

func quote(s string) string { return `"` + s + `"` }

func (c *cli) removeNetwork(i int) error {
	return c.nbctl("ls-del", topology.SwitchName(networkName(i)), "--", "lrp-del", "arca-rtr-"+networkName(i), "--",
		"pg-del", topology.PortGroupName(uid(networkName(i))), "--",
		"remove", "Address_Set", topology.AddressSetSubnets4, "addresses", quote(subnet(i)), "--",
		"remove", "Address_Set", topology.AddressSetGateways4, "addresses", quote(gateway(i)))
}

func (c *cli) nbctl(args ...string) error {
	_, err := c.tool("ovn-nbctl", args...)
	return err
}

func (c *cli) attachment(i, j int) error {
	a, p := attachmentObject(i, j), plugOf(i, j)
	addresses := quote(a.Status.MAC + " " + address(i, j))
	if err := c.nbctl(
		"--id=@p", "create", "Logical_Switch_Port", "name="+p.ifaceID, "addresses="+addresses, "port_security="+addresses, "--",
		"add", "Logical_Switch", topology.SwitchName(networkName(i)), "ports", "@p", "--",
		"add", "Port_Group", topology.PortGroupName(uid(networkName(i))), "ports", "@p"); err != nil || !isHere(j) {
		return err
	}
	ns, mtu := containerName(i, j), fmt.Sprint(v1alpha1.DefaultMTU)
	if err := ip("", "link add "+p.name+" mtu "+mtu+" type veth peer name eth0 mtu "+mtu+" address "+a.Status.MAC+" netns "+ns,
		"link set "+p.name+" up"); err != nil {
		return err
	}
	if err := ip(ns, "addr add "+a.Status.Addresses[0]+" dev eth0", "link set eth0 up", "route add default via "+gateway(i)); err != nil {
		return err
	}
	if _, err := c.tool("ovs-vsctl", "add-port", ovnd.Bridge, p.name, "--", "set", "Interface", p.name, "external_ids:iface-id="+p.ifaceID); err != nil {
		return err
	}
	if _, err := c.tool("ovs-vsctl", "wait-until", "Interface", p.name, "external_ids:ovn-installed=true"); err != nil {
		return err
	}
	return c.nbctl("wait-until", nbdb.LogicalSwitchPortTable, p.ifaceID, "up=true")
}

func (c *cli) removeAttachment(i, j int) error {
	p := plugOf(i, j)
	if _, err := c.tool("ovs-vsctl", "del-port", ovnd.Bridge, p.name); err != nil {
		return err
	}
	if err := ip("", "link del "+p.name); err != nil {
		return err
	}
	return c.nbctl("lsp-del", p.ifaceID)
}

// ip runs commands of ip(8) in one process, in a container's namespace or here.
func ip(ns string, commands ...string) error {
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", ns}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, out)
	}
	return nil
}

// wholeBulk is the largest size that is loaded by processes from end to end;
// beyond it takes too long.
const wholeBulk = 10

// levels are the shares of the networks at which a larger load is sampled.
const levels = 4

// bulk runs the commands one after the other, as a script does. Beyond
// wholeBulk the floor loads all but one network of each quarter, and the time of
// the quarter is that of the one before it times its number.
func (c *cli) bulk(networks int) (float64, bool, error) {
	if networks <= wholeBulk {
		from := time.Now()
		for i := range networks {
			if err := c.whole(i); err != nil {
				return 0, false, err
			}
		}
		return time.Since(from).Seconds(), false, c.allUp(perNetwork * networks)
	}
	sum := 0.0
	for level := range levels {
		first, end := networks*level/levels, networks*(level+1)/levels
		from := time.Now()
		if err := c.whole(first); err != nil {
			return 0, false, err
		}
		sum += time.Since(from).Seconds() * float64(end-first)
		if err := c.floor.load(first+1, end); err != nil {
			return 0, false, err
		}
		if err := c.settle(); err != nil {
			return 0, false, err
		}
	}
	return sum, true, nil
}

// whole makes a network with its ten attachments.
func (c *cli) whole(i int) error {
	if err := c.network(i); err != nil {
		return err
	}
	for j := range 10 {
		if err := c.attachment(i, j); err != nil {
			return err
		}
	}
	return nil
}
