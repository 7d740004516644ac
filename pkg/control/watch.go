// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

const (
	defaultWatchBuffer = 1024
	// watchPage is how many objects are listed at a time.
	watchPage = 500
)

// watchedLists are the kinds that are watched, in the order in which they are
// sent: an attachment comes after its network.
func watchedLists() [3]client.ObjectList {
	return [3]client.ObjectList{&v1alpha1.NetworkList{}, &v1alpha1.AttachmentList{}, &v1alpha1.PolicyList{}}
}

// position is how far each kind has been sent. The store's versions order what
// happened, but the kinds come by ways of their own: one number for all could
// skip what comes late on another.
type position [3]uint64

func (p position) String() string { return fmt.Sprintf("%d-%d-%d", p[0], p[1], p[2]) }

func parsePosition(s string) (p position, err error) {
	parts := strings.Split(s, "-")
	if len(parts) != len(p) {
		return p, fmt.Errorf("%s: must be the version of an event", quote(s))
	}
	for i, part := range parts {
		if p[i], err = strconv.ParseUint(part, 10, 64); err != nil {
			return p, fmt.Errorf("%s: must be the version of an event", quote(s))
		}
	}
	return p, nil
}

// errTooOld tells a client to begin anew.
var errTooOld = status.Error(codes.OutOfRange, "version: the store does not have the changes since then; watch again without a version")

// Watch streams objects and their changes.
func (s *Server) Watch(r *controlpb.WatchRequest, stream grpc.ServerStreamingServer[controlpb.WatchEvent]) error {
	wrong := checkManager("manager", r.GetManager())
	var at position
	if r.GetVersion() != "" {
		var err error
		if at, err = parsePosition(r.GetVersion()); err != nil {
			wrong = append(wrong, violation{"version", err.Error()})
		}
	}
	if err := invalid(wrong); err != nil {
		return err
	}
	select {
	case s.watches <- struct{}{}:
		defer func() { <-s.watches }()
	default:
		return status.Errorf(codes.ResourceExhausted, "there are %d watches already", maxWatches)
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	release := context.AfterFunc(s.stopping, func() { cancel(errStopping) })
	defer release()
	w := &watcher{server: s, send: stream.Send, at: at, selector: labels.Everything()}
	if r.GetManager() != "" {
		w.selector = labels.SelectorFromSet(labels.Set{ManagerLabel: r.GetManager()})
	}
	err := w.run(ctx, r.GetVersion() == "")
	if err != nil && errors.Is(context.Cause(ctx), errStopping) {
		return status.Error(codes.Unavailable, "arca-network is stopping; watch again from the last version")
	}
	if stream.Context().Err() != nil {
		return status.FromContextError(stream.Context().Err()).Err()
	}
	return apiError(ctx, err, nil)
}

// watcher is one stream.
type watcher struct {
	server   *Server
	send     func(*controlpb.WatchEvent) error
	selector labels.Selector
	at       position
}

// change is an event on its way to the client.
type change struct {
	list    int
	version uint64
	event   *controlpb.WatchEvent // nil: only the version has moved
}

func (w *watcher) run(ctx context.Context, all bool) error {
	var err error
	if all {
		err = w.sendAll(ctx)
	} else {
		err = w.checkVersions(ctx)
	}
	if err != nil {
		return err
	}
	if err := w.send(&controlpb.WatchEvent{Type: controlpb.WatchEvent_SYNCED, Version: w.at.String()}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan change, w.server.options.WatchBuffer)
	followers, following := errgroup.WithContext(ctx)
	for i := range watchedLists() {
		followers.Go(func() error { return w.follow(following, i, w.at[i], changes) })
	}
	// Whichever ends first ends the stream. A client that does not read keeps
	// the sender where it is until then.
	ended := make(chan error, 2)
	go func() { ended <- followers.Wait() }()
	go func() { ended <- w.sendChanges(ctx, changes) }()
	return <-ended
}

func (w *watcher) sendChanges(ctx context.Context, changes <-chan change) error {
	at := w.at
	for {
		select {
		case c := <-changes:
			at[c.list] = c.version
			if c.event == nil {
				continue
			}
			c.event.Version = at.String()
			if err := w.send(c.event); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendAll sends what there is, page by page.
func (w *watcher) sendAll(ctx context.Context) error {
	for i, list := range watchedLists() {
		for next := ""; ; {
			if err := w.server.api.List(ctx, list, &client.ListOptions{LabelSelector: w.selector, Limit: watchPage, Continue: next}); err != nil {
				return err
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return err
			}
			if w.at[i], err = strconv.ParseUint(list.GetResourceVersion(), 10, 64); err != nil {
				return err
			}
			for _, item := range items {
				e := &controlpb.WatchEvent{Type: controlpb.WatchEvent_ADDED}
				setObject(e, item)
				if err := w.send(e); err != nil {
					return err
				}
			}
			if next = list.GetContinue(); next == "" {
				break
			}
			list = watchedLists()[i]
		}
	}
	return nil
}

// checkVersions refuses versions that the store has not come to: it was put back
// to an earlier state since.
func (w *watcher) checkVersions(ctx context.Context) error {
	for i, list := range watchedLists() {
		if err := w.server.api.List(ctx, list, &client.ListOptions{Limit: 1}); err != nil {
			return err
		}
		now, err := strconv.ParseUint(list.GetResourceVersion(), 10, 64)
		if err != nil {
			return err
		}
		if w.at[i] > now {
			return errTooOld
		}
	}
	return nil
}

// follow queues the changes of a kind. The API ends a watch now and then; it
// goes on from where it was.
func (w *watcher) follow(ctx context.Context, i int, from uint64, changes chan<- change) error {
	for {
		events, err := w.server.api.Watch(ctx, watchedLists()[i], &client.ListOptions{LabelSelector: w.selector,
			Raw: &metav1.ListOptions{ResourceVersion: strconv.FormatUint(from, 10), AllowWatchBookmarks: true}})
		if err != nil {
			return tooOld(err)
		}
		from, err = w.queue(ctx, i, from, events, changes)
		events.Stop()
		if err != nil {
			return err
		}
	}
}

// queue queues the events of one watch, until it ends.
func (w *watcher) queue(ctx context.Context, i int, from uint64, events watch.Interface, changes chan<- change) (uint64, error) {
	for {
		var e watch.Event
		var ok bool
		select {
		case e, ok = <-events.ResultChan():
		case <-ctx.Done():
			return from, ctx.Err()
		}
		if !ok {
			return from, nil
		}
		if e.Type == watch.Error {
			return from, tooOld(apierrors.FromObject(e.Object))
		}
		c, err := changeOf(i, e)
		if err != nil {
			return from, err
		}
		from = c.version
		select {
		case changes <- c:
		default:
			return from, status.Errorf(codes.ResourceExhausted,
				"the client is %d events behind; watch again from the last version", cap(changes))
		}
	}
}

func tooOld(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return errTooOld
	}
	return err
}

var eventTypes = map[watch.EventType]controlpb.WatchEvent_Type{
	watch.Added:    controlpb.WatchEvent_ADDED,
	watch.Modified: controlpb.WatchEvent_MODIFIED,
	watch.Deleted:  controlpb.WatchEvent_DELETED,
}

func changeOf(i int, e watch.Event) (change, error) {
	o, err := meta.Accessor(e.Object)
	if err != nil {
		return change{}, err
	}
	c := change{list: i}
	if c.version, err = strconv.ParseUint(o.GetResourceVersion(), 10, 64); err != nil {
		return change{}, fmt.Errorf("version of %s: %w", o.GetName(), err)
	}
	if t, ok := eventTypes[e.Type]; ok {
		c.event = &controlpb.WatchEvent{Type: t}
		setObject(c.event, e.Object)
	}
	return c, nil
}

func setObject(e *controlpb.WatchEvent, o runtime.Object) {
	switch o := o.(type) {
	case *v1alpha1.Network:
		e.Object = &controlpb.WatchEvent_Network{Network: bridgeInfo(o)}
	case *v1alpha1.Attachment:
		e.Object = &controlpb.WatchEvent_Attachment{Attachment: containerNetwork(o)}
	case *v1alpha1.Policy:
		e.Object = &controlpb.WatchEvent_Policy{Policy: policyInfo(o)}
	}
}
