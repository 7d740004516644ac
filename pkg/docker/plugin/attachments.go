// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/control/client"
)

// place names an attachment: container is the plugin's own id, see containerOf. One
// without a container names a network.
type place struct{ container, network string }

// key names an interface's maker.
func (at place) key() string { return at.container + "." + at.network }

// attachment is an Attachment object that this driver has made.
type attachment struct {
	*controlpb.ContainerNetwork
	notes notes
}

func (a attachment) place() place { return place{a.GetContainerId(), a.GetNetworkId()} }

// ours is the attachment, if this driver has made it.
func ours(c *controlpb.ContainerNetwork) (attachment, bool) {
	a := attachment{c, c.GetAnnotations()}
	return a, a.notes[noteMaker] == maker
}

// attachment is the one at a place, if there is one.
func (p *Plugin) attachment(ctx context.Context, at place) (attachment, bool, error) {
	list, err := p.attachmentsOf(ctx, &controlpb.GetContainerNetworksRequest{ContainerId: at.container, NetworkId: at.network})
	if err != nil || len(list) == 0 {
		return attachment{}, false, err
	}
	return list[0], true, nil
}

func (p *Plugin) attachmentsOf(ctx context.Context, r *controlpb.GetContainerNetworksRequest) (out []attachment, err error) {
	list, err := p.control.GetContainerNetworks(ctx, r)
	if err != nil {
		return nil, plain(err)
	}
	for _, c := range list.GetNetworks() {
		if a, ok := ours(c); ok && !c.GetDeleting() {
			out = append(out, a)
		}
	}
	return out, nil
}

// all are all attachments that this driver has made.
func (p *Plugin) all(ctx context.Context) ([]attachment, error) {
	out, err := repeat(ctx, p.control, nil, snapshot)
	if err != nil {
		return nil, plain(err)
	}
	return out, nil
}

func snapshot(ctx context.Context, from Control, _ ...grpc.CallOption) (out []attachment, err error) {
	err = client.Snapshot(ctx, from, func(event *controlpb.WatchEvent) {
		if a, ok := ours(event.GetAttachment()); ok && event.GetAttachment() != nil && !a.GetDeleting() {
			out = append(out, a)
		}
	})
	return out, err
}

// endpoint finds the attachment of one of the engine's endpoints.
func (p *Plugin) endpoint(ctx context.Context, network, endpoint string) (attachment, bool, error) {
	is := func(a attachment) bool { return a.notes[noteEndpoint] == endpoint }
	if at, ok := p.known.get(endpoint); ok {
		a, found, err := p.attachment(ctx, at)
		if err != nil || found && is(a) {
			return a, found, err
		}
		p.known.forget(endpoint)
	}
	list, err := p.attachmentsOf(ctx, &controlpb.GetContainerNetworksRequest{NetworkId: network})
	if err == nil && len(list) == 0 { // of a network that stands for another
		list, err = p.all(ctx)
	}
	for _, a := range list {
		if is(a) {
			p.known.put(endpoint, a.place())
			return a, true, nil
		}
	}
	return attachment{}, false, err
}

// locks keep two calls from working on one attachment, or network, at the same time.
type locks struct {
	now  func() time.Time
	mu   sync.Mutex
	held map[place]*lock
	// left is when the last call was done with an attachment.
	left map[place]time.Time
}

type lock struct {
	mu    sync.Mutex
	users int
}

func newLocks(now func() time.Time) *locks {
	return &locks{now: now, held: map[place]*lock{}, left: map[place]time.Time{}}
}

func (l *locks) lock(at place) (unlock func()) {
	l.mu.Lock()
	k := l.held[at]
	if k == nil {
		k = &lock{}
		l.held[at] = k
	}
	k.users++
	l.mu.Unlock()
	k.mu.Lock()
	return func() {
		k.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.left[at] = l.now()
		if k.users--; k.users == 0 {
			delete(l.held, at)
		}
	}
}

// worked tells when calls worked on attachments last, which may be now; what is
// longer ago than anybody asks for is forgotten.
func (l *locks) worked() map[place]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	maps.DeleteFunc(l.left, func(_ place, at time.Time) bool { return now.Sub(at) > graceEndpoint })
	out := maps.Clone(l.left)
	for at := range l.held {
		out[at] = now
	}
	return out
}
