// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ipam"
)

// claimAddresses gives one address of each of the network's subnets.
func claimAddresses(a *v1alpha1.Attachment, e *networkEntry, old, grant *attachmentEntry) *Refusal {
	static, why := staticAddresses(a, e)
	if why != nil {
		return why
	}
	for _, pool := range e.pools {
		addr, isStatic := static[pool]
		if !isStatic {
			addr = stickyAddress(a, old, e.left[grant.mac.String()], pool)
		}
		var err error
		if addr.IsValid() {
			err = pool.Claim(a.Name, addr)
		}
		if !addr.IsValid() || (err != nil && !isStatic) {
			addr, err = pool.Allocate(a.Name)
		}
		if err != nil {
			return addressRefusal(a.Spec.Network, err)
		}
		grant.addresses = append(grant.addresses, netip.PrefixFrom(addr, pool.CIDR().Bits()))
		grant.gateways = append(grant.gateways, pool.Gateway())
	}
	return nil
}

// staticAddresses sorts the addresses of the spec by the pool they are of.
func staticAddresses(a *v1alpha1.Attachment, e *networkEntry) (map[*ipam.Pool]netip.Addr, *Refusal) {
	static := map[*ipam.Pool]netip.Addr{}
	for i, s := range a.Spec.Addresses {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, &Refusal{v1alpha1.ReasonAddressNotUsable, fmt.Sprintf("spec.addresses[%d]: %v", i, err)}
		}
		pool := e.poolOf(addr)
		if pool == nil {
			return nil, &Refusal{v1alpha1.ReasonAddressNotUsable, fmt.Sprintf(
				"spec.addresses[%d]: %s is not in the subnets of network %s: %s", i, addr, a.Spec.Network, join(e.subnets))}
		}
		static[pool] = addr
	}
	return static, nil
}

// stickyAddress is the address that the attachment has, or had by its status, or
// that was left by one of its MAC address.
func stickyAddress(a *v1alpha1.Attachment, old *attachmentEntry, left []netip.Prefix, pool *ipam.Pool) netip.Addr {
	var had []netip.Prefix
	if old != nil {
		had = append(had, old.addresses...)
	}
	for _, s := range a.Status.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			had = append(had, p)
		}
	}
	for _, p := range append(had, left...) {
		if pool.CIDR().Contains(p.Addr()) {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func addressRefusal(network string, err error) *Refusal {
	var (
		taken     *ipam.TakenError
		exhausted *ipam.ExhaustedError
	)
	switch {
	case errors.As(err, &taken):
		return &Refusal{v1alpha1.ReasonAddressInUse, fmt.Sprintf(
			"spec.addresses: %s is held by attachment %s; choose another, or leave it out", taken.Addr, taken.Holder)}
	case errors.As(err, &exhausted):
		return &Refusal{v1alpha1.ReasonPoolExhausted, fmt.Sprintf(
			"network %s: %v; delete attachments that are not needed", network, err)}
	}
	return &Refusal{v1alpha1.ReasonAddressNotUsable, "spec.addresses: " + err.Error()}
}

func restoreAddresses(name string, e *networkEntry, old *attachmentEntry) {
	for _, pool := range e.pools {
		pool.Release(name)
	}
	for _, p := range old.addresses {
		if pool := e.poolOf(p.Addr()); pool != nil {
			_ = pool.Restore(name, p.Addr())
		}
	}
}

// returning are the addresses that an attachment should have again when it comes
// back: where it asks for its MAC address, by which others remember it, those that
// it does not ask for.
func returning(a *v1alpha1.Attachment, addresses []netip.Prefix) (out []netip.Prefix) {
	if a.Spec.MAC == "" {
		return nil
	}
	for _, p := range addresses {
		if !slices.ContainsFunc(a.Spec.Addresses, func(s string) bool { asked, err := netip.ParseAddr(s); return err == nil && asked == p.Addr() }) {
			out = append(out, p)
		}
	}
	return out
}

// leave remembers the addresses of an attachment that goes.
func (e *networkEntry) leave(entry *attachmentEntry) {
	mac := entry.mac.String()
	delete(e.left, mac)
	if len(entry.returns) == 0 {
		return
	}
	for other := range e.left {
		if len(e.left) < maxLeft {
			break
		}
		delete(e.left, other) // any: they are a convenience
	}
	e.left[mac] = entry.returns
}
