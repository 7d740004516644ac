// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fault is one thing that can happen to the machine.
type fault struct {
	name string
	// do makes it happen, and lifts it where it does not pass by itself. It may
	// call began when the time to heal begins to run.
	do func(ctx context.Context, c *course) error
	// times is how often; 0 is once. shortTimes is that of the short form.
	times, shortTimes int
	// short: part of the short form.
	short bool
	// load: objects are written all the time.
	load bool
	// loseNone: not one packet may be lost.
	loseNone bool
}

// healing bounds the time from a fault to everything being as it was.
const healing = 2 * time.Minute

// course is one fault as it goes.
type course struct {
	*world
	load *load
	ping *pinger
	from time.Time
	// said is what the result tells besides figures.
	said string
}

// began has the time to heal count from now on.
func (c *course) began() { c.from = time.Now() }

// suffer makes a fault happen under traffic, waits until everything is as it
// was, and tells what that took.
func (w *world) suffer(f fault) (r result) {
	r = result{Name: f.name}
	c := &course{world: w}
	var err error
	if c.ping, err = startPinger("a", addressOfB); err != nil {
		r.Error = err.Error()
		return r
	}
	tcp, err := startStream("a", "b", addressOfB)
	if err == nil {
		err = w.sufferUnder(f, c, tcp, &r)
		r.Blocks = tcp.finish()
	}
	r.loss = c.ping.finish()
	r.Said = c.said
	if f.loseNone && r.Lost > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d packets were lost, want none", r.Lost, r.Sent))
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (w *world) sufferUnder(f fault, c *course, tcp *stream, r *result) (err error) {
	if !c.ping.more(20) {
		return errors.New("no traffic before the fault")
	}
	if f.load {
		if c.load, err = startLoad(w); err != nil {
			return err
		}
	}
	times := max(1, f.times)
	if *short {
		times = max(1, f.shortTimes)
	}
	for range times {
		ctx, cancel := context.WithTimeout(context.Background(), healing+time.Minute)
		c.began()
		err := f.do(ctx, c)
		cancel()
		if err == nil {
			err = c.heal(r)
		}
		if err != nil {
			if c.load != nil {
				c.load.halt()
			}
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), healing)
	defer cancel()
	if c.load != nil {
		if err := c.endLoad(ctx, r); err != nil {
			return err
		}
	}
	if err := until(ctx, "the machine to be as it was", func() error {
		now, err := w.look(ctx)
		return errors.Join(err, w.atRest.differences(now))
	}); err != nil {
		return err
	}
	now, err := w.snapshot(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(w.base.differences(now), now.differences(w.base)); err != nil {
		return err
	}
	if err := tcp.goesOn(ctx); err != nil {
		return err
	}
	if !c.ping.more(50) {
		return errors.New("traffic does not go on")
	}
	return nil
}

// heal waits until all is well and notes how long that took.
func (c *course) heal(r *result) error {
	ctx, cancel := context.WithTimeout(context.Background(), healing)
	defer cancel()
	if err := until(ctx, "all to be as it was", func() error { return c.well(ctx) }); err != nil {
		return err
	}
	r.Heal = append(r.Heal, time.Since(c.from))
	return nil
}

// well fails where something is not as it should be. While objects are being
// written only the base can be told.
func (c *course) well(ctx context.Context) error {
	if c.load != nil {
		if err := c.allReady(ctx, isBase); err != nil {
			return err
		}
	} else if err := c.asAtRest(ctx); err != nil {
		return err
	}
	asked := time.Now()
	if err := c.barrier(ctx); err != nil {
		return err
	}
	if !c.ping.answeredSince(asked) {
		return errors.New("no packet gets through")
	}
	return nil
}

// asAtRest fails where an object is not Ready, or OVN or Open vSwitch does not
// hold what it did.
func (c *course) asAtRest(ctx context.Context) error {
	if err := c.allReady(ctx, nil); err != nil {
		return err
	}
	if err := c.plugged(ctx); err != nil {
		return err
	}
	rows, err := c.rows(ctx)
	if err != nil {
		return err
	}
	return machine{rows: c.atRest.rows}.differences(machine{rows: rows})
}

// endLoad stops the writers and checks what they were told.
func (c *course) endLoad(ctx context.Context, r *result) error {
	c.load.halt()
	r.Acknowledged, _ = c.load.counts()
	if r.Acknowledged == 0 {
		return errors.New("no write was acknowledged")
	}
	if err := c.load.check(ctx); err != nil {
		return err
	}
	// What is being deleted goes; the rest becomes Ready.
	if err := c.untilReady(ctx, nil); err != nil {
		return err
	}
	if err := c.plugged(ctx); err != nil {
		return err
	}
	return c.load.clean(ctx)
}
