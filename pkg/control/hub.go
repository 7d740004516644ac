// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// hub hands the events of one informer of each kind to all the calls that wait
// for an object.
type hub struct {
	mu     sync.Mutex
	byName map[hubKey]map[*subscription]struct{}
	wide   map[*subscription]struct{}

	// life tells the versions of this hub from those of one before.
	life    string
	changes uint64 // of networks and attachments
}

type hubKey struct {
	kind kind
	name string
}

// subscription is a call's view of one object. It keeps the latest state only:
// however many events there are, it does not grow.
type subscription struct {
	hub  *hub
	key  hubKey
	kick chan struct{}

	latest object // nil where the last event was that it is gone
	seen   bool
	gone   []types.UID // objects of the name that went, the last few
}

const maxGone = 16

func newHub() *hub {
	return &hub{byName: map[hubKey]map[*subscription]struct{}{}, wide: map[*subscription]struct{}{}, life: rand.Text()}
}

// version names the state of all networks and attachments. What was acknowledged
// to anybody is in it: calls wait for the same events.
func (h *hub) version() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life + "-" + strconv.FormatUint(h.changes, 10)
}

// connect has the hub told of everything, and returns when it was told of all
// that there is.
func (h *hub) connect(ctx context.Context, c cache.Cache) error {
	for _, o := range []client.Object{&v1alpha1.Network{}, &v1alpha1.Attachment{}, &v1alpha1.Policy{}} {
		informer, err := c.GetInformer(ctx, o)
		if err != nil {
			return err
		}
		registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { h.deliver(o, false) },
			UpdateFunc: func(_, o any) { h.deliver(o, false) },
			DeleteFunc: func(o any) { h.deliver(o, true) },
		})
		if err != nil {
			return err
		}
		if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return ctx.Err()
		}
	}
	return nil
}

func (h *hub) deliver(event any, gone bool) {
	if unknown, ok := event.(toolscache.DeletedFinalStateUnknown); ok {
		event = unknown.Obj
	}
	o, ok := event.(object)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := kindOf(o); k == kindNetwork || k == kindAttachment {
		h.changes++
	}
	for s := range h.byName[hubKey{kindOf(o), o.GetName()}] {
		s.seen = true
		s.latest = o
		if gone {
			s.latest = nil
			s.gone = append(s.gone[max(0, len(s.gone)-maxGone+1):], o.GetUID())
		}
		s.wake()
	}
	for s := range h.wide {
		s.wake()
	}
}

func (s *subscription) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// subscribe begins to follow an object, there or not.
func (h *hub) subscribe(k kind, name string) *subscription {
	s := &subscription{hub: h, key: hubKey{k, name}, kick: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName[s.key] == nil {
		h.byName[s.key] = map[*subscription]struct{}{}
	}
	h.byName[s.key][s] = struct{}{}
	return s
}

func (s *subscription) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.byName[s.key], s)
	if len(s.hub.byName[s.key]) == 0 {
		delete(s.hub.byName, s.key)
	}
	delete(s.hub.wide, s)
}

// widen has the subscription woken by events of every object too.
func (s *subscription) widen(on bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if on {
		s.hub.wide[s] = struct{}{}
	} else {
		delete(s.hub.wide, s)
	}
}

// state is the latest of the object with that UID. One that is nil and not gone
// has not been seen yet.
func (s *subscription) state(uid types.UID) (o object, gone bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if slices.Contains(s.gone, uid) {
		return nil, true
	}
	if s.latest != nil && s.latest.GetUID() == uid {
		return s.latest, false
	}
	return nil, false
}

// await waits for events until is says so of the object's state, or ctx is done.
func (s *subscription) await(ctx context.Context, uid types.UID, is func(o object, gone bool) (bool, error)) error {
	for {
		if o, gone := s.state(uid); o != nil || gone {
			if done, err := is(o, gone); done || err != nil {
				return err
			}
		}
		select {
		case <-s.kick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitGone waits until the object with that UID is no more.
func (s *subscription) awaitGone(ctx context.Context, uid types.UID) error {
	return s.await(ctx, uid, func(_ object, gone bool) (bool, error) { return gone, nil })
}

// awaitSeen waits until the cache has the object: then whoever reads the cache
// after this call sees it.
func (s *subscription) awaitSeen(ctx context.Context, uid types.UID) error {
	return s.await(ctx, uid, func(object, bool) (bool, error) { return true, nil })
}
