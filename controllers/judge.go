// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// Refuses tells whether a network or attachment would be refused by what the
// objects that c lists have now. A refusal in a status may be older than the
// deletion of what it was for; the reconcilers then look again by themselves.
// sockets, which may be nil, are asked which ports of this host are used.
func Refuses(c client.Reader, hostRoutes func() ([]netip.Prefix, error), sockets HostSockets) func(context.Context, client.Object) (bool, error) {
	host := PortReconciler{Sockets: sockets}
	return func(ctx context.Context, o client.Object) (bool, error) {
		book := NewBook(hostRoutes)
		if err := book.Load(ctx, c); err != nil {
			return false, err
		}
		var why *Refusal
		switch o := o.(type) {
		case *v1alpha1.Network:
			_, why = book.AcquireNetwork(o)
		case *v1alpha1.Attachment:
			n := &v1alpha1.Network{}
			err := c.Get(ctx, client.ObjectKey{Name: o.Spec.Network}, n)
			if client.IgnoreNotFound(err) != nil {
				return false, err
			}
			if why = networkRefuses(n, o, err == nil); why == nil {
				n = n.AsInForce()
				if why, _, err = host.Publishable(book.Unpublished(o, n)); err != nil {
					return false, err
				}
			}
			if why == nil {
				_, why = book.AcquireAttachment(o, n)
			}
		}
		return why != nil, nil
	}
}
