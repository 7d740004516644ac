// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// loadPrefix begins the names of what writers make.
const loadPrefix = "load-"

func isLoad(name string) bool { return strings.HasPrefix(name, loadPrefix) }
func isBase(name string) bool { return !isLoad(name) }

// fate is what is known of an object that a writer has written.
type fate int

const (
	unknown fate = iota // nobody has answered
	there               // its creation was acknowledged
	gone                // its deletion was acknowledged
)

// load is writers that create and delete objects all the time, and remember
// what was acknowledged.
type load struct {
	w    *world
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	networks map[string]fate
	// attachments are all to the network of their number's writer.
	attachments map[string]fate
	acked       int
	refused     int     // writes that nobody has acknowledged
	odd         []error // answers that cannot be
}

const (
	writers = 4
	// writeEvery is the pause between two writes of one writer.
	writeEvery = 20 * time.Millisecond
)

const (
	perNetwork = 3
	// rounds that a writer's namespaces last for before they are used again.
	rounds = 6
)

// loadNetns is the namespace of a writer's attachment.
func loadNetns(writer, round, i int) string {
	return fmt.Sprintf("%s%d-%d-%d", loadPrefix, writer, round%rounds, i)
}

// loadNamespaces calls fn with each of them.
func loadNamespaces(fn func(name string) error) (err error) {
	for n := range writers * rounds * perNetwork {
		err = errors.Join(err, fn(loadNetns(n/(rounds*perNetwork), n/perNetwork, n%perNetwork)))
	}
	return err
}

// startLoad starts the writers.
func startLoad(w *world) (*load, error) {
	if err := loadNamespaces(func(name string) error { return ip("netns", "add", name) }); err != nil {
		return nil, err
	}
	l := &load{w: w, stop: make(chan struct{}), networks: map[string]fate{}, attachments: map[string]fate{}}
	for i := range writers {
		l.wg.Go(func() { l.write(i) })
	}
	return l, nil
}

// write goes round: a network, three attachments, and all but the last round's
// objects deleted.
func (l *load) write(writer int) {
	for round := 0; ; round++ {
		name := func(round int) string { return fmt.Sprintf("%s%d-%d", loadPrefix, writer, round) }
		var steps []func()
		steps = append(steps, func() {
			l.create(l.networks, network(name(round), fmt.Sprintf("10.%d.%d.0/24", 100+writer, round%256)))
		})
		for i := range perNetwork {
			a := fmt.Sprintf("%s-%d", name(round), i)
			steps = append(steps, func() {
				l.create(l.attachments, attachment(a, name(round), loadNetns(writer, round, i)))
			})
		}
		if old := round - 2; old >= 0 {
			for i := range perNetwork {
				a := fmt.Sprintf("%s-%d", name(old), i)
				steps = append(steps, func() { l.delete(l.attachments, &v1alpha1.Attachment{}, a) })
			}
			steps = append(steps, func() { l.delete(l.networks, &v1alpha1.Network{}, name(old)) })
		}
		for _, step := range steps {
			select {
			case <-l.stop:
				return
			case <-time.After(writeEvery):
				step()
			}
		}
	}
}

// create and delete try until they are answered, as a client that must know
// does: an attachment without its network is no fault of ours.

func (l *load) create(among map[string]fate, o client.Object) {
	name := o.GetName()
	l.set(among, name, unknown)
	for first := true; ; first = false {
		err := l.w.clientNow().Create(context.Background(), o)
		switch {
		case err == nil, apierrors.IsAlreadyExists(err) && !first: // an earlier attempt was done, and not answered
			l.acknowledge(among, name, there)
			return
		case answered(err):
			l.note(fmt.Errorf("creating %s: %w", name, err))
			return
		}
		if !l.again() {
			return
		}
	}
}

func (l *load) delete(among map[string]fate, o client.Object, name string) {
	l.mu.Lock()
	before := among[name]
	among[name] = unknown
	l.mu.Unlock()
	for first := true; ; first = false {
		o.SetName(name)
		err := l.w.clientNow().Delete(context.Background(), o)
		switch {
		case err == nil:
			l.acknowledge(among, name, gone)
			return
		case apierrors.IsNotFound(err) && before == there && first:
			l.note(fmt.Errorf("%s was acknowledged, and is not found when it is deleted", name))
			return
		case apierrors.IsNotFound(err):
			l.set(among, name, gone)
			return
		}
		if !l.again() {
			return
		}
	}
}

// again counts a write that was not acknowledged, and tells after a while
// whether to try once more.
func (l *load) again() bool {
	l.failed()
	select {
	case <-l.stop:
		return false
	case <-time.After(writeEvery):
		return true
	}
}

func (l *load) failed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
}

// counts are how many writes were acknowledged, and how many were not.
func (l *load) counts() (acked, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked, l.refused
}

func (l *load) set(among map[string]fate, name string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	among[name] = f
}

func (l *load) acknowledge(among map[string]fate, name string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	among[name] = f
	l.acked++
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.odd) < 10 {
		l.odd = append(l.odd, err)
	}
}

// halt stops the writers.
func (l *load) halt() {
	close(l.stop)
	l.wg.Wait()
}

// check fails where something that was acknowledged is not so, once what is
// being deleted had the time to go.
func (l *load) check(ctx context.Context) error {
	l.mu.Lock()
	odd := errors.Join(l.odd...)
	l.mu.Unlock()
	if odd != nil {
		return odd
	}
	return until(ctx, "what was acknowledged to be so", func() error {
		networks, attachments, err := l.w.lists(ctx)
		if err != nil {
			return err
		}
		var present, attached []string
		for _, n := range networks {
			present = append(present, n.Name)
		}
		for _, a := range attachments {
			attached = append(attached, a.Name)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return errors.Join(compare("network", l.networks, present), compare("attachment", l.attachments, attached))
	})
}

// compare tells what was acknowledged and is not so.
func compare(kind string, fates map[string]fate, present []string) error {
	is := map[string]bool{}
	for _, name := range present {
		is[name] = true
	}
	var errs []error
	for name, f := range fates {
		switch {
		case f == there && !is[name]:
			errs = append(errs, fmt.Errorf("%s %s was acknowledged, and is LOST", kind, name))
		case f == gone && is[name]:
			errs = append(errs, fmt.Errorf("%s %s was deleted, and is there", kind, name))
		}
	}
	return errors.Join(errs...)
}

// clean deletes what the writers have left, and their namespaces.
func (l *load) clean(ctx context.Context) error {
	if err := l.w.deleteAmong(ctx, isLoad); err != nil {
		return err
	}
	return loadNamespaces(func(name string) error { return ip("netns", "del", name) })
}
