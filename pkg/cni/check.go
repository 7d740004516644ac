// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// check tells whether a container is as ADD has left it: in its namespace,
// which is looked at first for it needs nobody to answer, and in arca-network.
func check(ctx context.Context, c *call) error {
	result, err := previous(c.config)
	if err != nil {
		return err
	}
	if err := c.checkNetns(); err != nil {
		return err
	}
	link, err := observe(c.Netns, c.IfName)
	if err != nil {
		return types.NewError(errNotAsResult, err.Error(), "")
	}
	if err := compareLink(c.IfName, result, link); err != nil {
		return err
	}
	have, err := c.attachments(ctx)
	if err != nil {
		return err
	}
	return compareAttachments(c.IfName, result, find(have, c.config.Name, c.IfName))
}

// previous is the result of ADD, which the runtime has kept.
func previous(c *config) (*types100.Result, error) {
	if c.RawPrevResult == nil {
		return nil, invalidConfig("prevResult", "must be given: it is what CHECK compares with")
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult: "+err.Error(), "")
	}
	result, err := types100.NewResultFromResult(c.PrevResult)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "prevResult: "+err.Error(), "")
	}
	return result, nil
}

// expected is what a result says of the interface of a container: others may be
// from plugins that came after.
func expected(ifname string, r *types100.Result) (mac string, addresses []string, err error) {
	index := slices.IndexFunc(r.Interfaces, func(i *types100.Interface) bool { return i.Sandbox != "" && i.Name == ifname })
	if index < 0 {
		return "", nil, invalidConfig("prevResult.interfaces", "there is none in a sandbox that is called "+ifname)
	}
	for _, ip := range r.IPs {
		if ip.Interface != nil && *ip.Interface == index {
			addresses = append(addresses, ip.Address.String())
		}
	}
	return r.Interfaces[index].Mac, addresses, nil
}

// link is an interface as it is found.
type link struct {
	up        bool
	mac       string
	addresses []string
}

func compareLink(ifname string, r *types100.Result, l link) error {
	mac, addresses, err := expected(ifname, r)
	if err != nil {
		return err
	}
	if !l.up {
		return notAs("interface %s is down", ifname)
	}
	if mac != "" && l.mac != mac {
		return notAs("interface %s has the MAC address %s, not %s", ifname, l.mac, mac)
	}
	for _, a := range addresses {
		if !slices.Contains(l.addresses, a) {
			return notAs("interface %s has the addresses %v, not %s", ifname, l.addresses, a)
		}
	}
	return nil
}

func compareAttachments(ifname string, r *types100.Result, have []*controlpb.ContainerNetwork) error {
	_, addresses, err := expected(ifname, r)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		return notAs("there is no attachment for interface %s of this container", ifname)
	}
	n := have[0]
	for _, a := range addresses {
		if !slices.Contains(n.GetAddresses(), a) {
			return notAs("the attachment has the addresses %v, not %s", n.GetAddresses(), a)
		}
	}
	if n.GetDeleting() {
		return notAs("the attachment is being deleted")
	}
	for _, c := range n.GetConditions() {
		if c.GetType() == "Ready" && c.GetStatus() {
			return nil
		}
	}
	for _, c := range n.GetConditions() {
		if !c.GetStatus() && c.GetType() != "Deleting" {
			return notAs("the attachment is not ready: %s: %s", c.GetReason(), c.GetMessage())
		}
	}
	return notAs("the attachment is not ready: nothing is known of it yet")
}

func notAs(format string, args ...any) error {
	return types.NewError(errNotAsResult, fmt.Sprintf(format, args...), "")
}
