// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const crowdSize = 200

// crowd attaches 200 containers at once, waits until all are Ready, detaches
// them at once, and does so for a minute.
func crowd(ctx context.Context, c *course) (err error) {
	lasts := time.Minute
	if *short {
		lasts = lasts / 3
	}
	container := func(i int) string { return fmt.Sprintf("crowd-%d", i) }
	for i := range crowdSize {
		if err := ip("netns", "add", container(i)); err != nil {
			return err
		}
	}
	n := network(loadPrefix+"crowd", "10.120.0.0/16")
	if err := c.clientNow().Create(ctx, n); err != nil {
		return err
	}
	waves := 0
	from := time.Now()
	for time.Since(from) < lasts {
		err := c.atOnce(ctx, func(ctx context.Context, i int) error {
			return c.clientNow().Create(ctx, attachment(loadPrefix+container(i), n.Name, container(i)))
		})
		if err != nil {
			return fmt.Errorf("attaching: %w", err)
		}
		if err := c.untilReady(ctx, nil); err != nil {
			return err
		}
		if err := c.noDoubles(ctx); err != nil {
			return err
		}
		err = c.atOnce(ctx, func(ctx context.Context, i int) error {
			a := attachment(loadPrefix+container(i), n.Name, container(i))
			return client.IgnoreNotFound(c.clientNow().Delete(ctx, a))
		})
		if err != nil {
			return fmt.Errorf("detaching: %w", err)
		}
		if err := c.untilGone(ctx, func(name string) bool { return isLoad(name) && name != n.Name }); err != nil {
			return err
		}
		waves++
	}
	c.said = fmt.Sprintf("%d times in %.0f s", waves, time.Since(from).Seconds())
	for i := range crowdSize {
		if err := ip("netns", "del", container(i)); err != nil {
			return err
		}
	}
	if err := c.deleteAmong(ctx, isLoad); err != nil {
		return err
	}
	c.began()
	return nil
}

// atOnce does something for each container of the crowd, all side by side.
func (c *course) atOnce(ctx context.Context, do func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range crowdSize {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// noDoubles fails where two attachments have one address or one MAC.
func (w *world) noDoubles(ctx context.Context) error {
	_, attachments, err := w.lists(ctx)
	if err != nil {
		return err
	}
	holder := map[string]string{}
	for _, a := range attachments {
		for _, given := range append([]string{a.Status.MAC}, a.Status.Addresses...) {
			if other := holder[given]; other != "" {
				return fmt.Errorf("attachments %s and %s both have %s", other, a.Name, given)
			}
			holder[given] = a.Name
		}
	}
	return nil
}
