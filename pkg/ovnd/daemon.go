// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

// Component is the state of one daemon.
type Component struct {
	Name string `json:"name"`
	// PID is 0 while it does not run.
	PID int `json:"pid"`
	// Since is when it was started or adopted.
	Since time.Time `json:"since"`
	// Restarts counts how often it was started anew after it died.
	Restarts int `json:"restarts"`
	// LastError is why the last start failed; empty after one that did not.
	LastError string `json:"lastError,omitempty"`
}

// daemon starts, adopts, watches and stops one of the programs.
type daemon struct {
	name     string
	args     []string
	more     func() []string             // arguments that depend on when it is started
	reads    []string                    // files, before it is ready
	sockets  []string                    // files, where it waits for its databases
	connect  func(context.Context)       // to them, from when it is started
	exit     []string                    // arguments of its unixctl command for a clean end
	prepare  func(context.Context) error // before each start
	ready    func(context.Context) error // after each start
	renew    func()                      // what it reads, where it dies of that again and again
	options  *Options
	programs *programs
	log      logr.Logger

	mu      sync.Mutex
	state   Component
	proc    *process
	adopted bool
	// unready is when it was started, as long as ready has not succeeded.
	unready time.Time
}

// settled tells whether the daemon has run for a while.
func (d *daemon) settled() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.PID != 0 && (d.adopted || time.Since(d.state.Since) > lasting)
}

func (d *daemon) pidfile() string { return d.options.path(d.name + ".pid") }
func (d *daemon) control() string { return d.options.path(d.name + ".ctl") }
func (d *daemon) logfile() string { return filepath.Join(d.options.Dir, "log", d.name+".log") }

// ensure adopts the daemon where it runs, and starts it where it does not.
func (d *daemon) ensure(ctx context.Context) (adopted bool, err error) {
	p, err := openProcess(d.pidfile())
	if err != nil {
		return false, err
	}
	if p == nil {
		// ovn-controller 25.03.0 crashes at its start now and then.
		for try := 1; ; try++ {
			if err = d.start(ctx); try == startTries || !errors.Is(err, errAtOnce) {
				return false, err
			}
			d.log.Info("Daemon ended as soon as it was started; starting it again", "daemon", d.name, "log", d.logfile())
		}
	}
	d.set(p)
	d.mu.Lock()
	d.adopted = true
	unready := !d.unready.IsZero()
	d.mu.Unlock()
	if unready {
		return true, d.finish(ctx)
	}
	return true, nil
}

// finish does what is to be done once the daemon runs. One for which that fails
// is not adopted as it is: finish is tried again, and where it goes on failing
// for a while the daemon is ended, to be started anew.
func (d *daemon) finish(ctx context.Context) error {
	var err error
	if d.ready != nil {
		err = d.ready(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.unready = time.Time{}
		return nil
	}
	if ctx.Err() == nil && time.Since(d.unready) > lasting {
		err = errors.Join(err, d.proc.signal(syscall.SIGKILL))
	}
	return fmt.Errorf("%s: %w", d.name, err)
}

// errAtOnce is of a daemon that said it was ready and is not there.
var errAtOnce = errors.New("it ended as soon as it was started")

// startTries is how often such a one is started before that is an error.
const startTries = 3

// start starts the daemon and returns when it is ready: it detaches itself
// then, and so outlives this process.
func (d *daemon) start(ctx context.Context) error {
	if d.prepare != nil {
		if err := d.prepare(ctx); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	boundLog(d.logfile())
	// A socket that a dead daemon left would be in the way.
	_ = os.Remove(d.control())
	args := append([]string{
		"--detach", "--no-chdir", "--pidfile=" + d.pidfile(), "--unixctl=" + d.control(),
		"--log-file=" + d.logfile(), "-vconsole:off", "-vsyslog:off", "-vfile:info",
	}, d.args...)
	if d.more != nil {
		args = append(args, d.more()...)
	}
	if err := d.launch(ctx, args); err != nil {
		return err
	}
	p, err := openProcess(d.pidfile())
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("%s: %w; see %s", d.name, errAtOnce, d.logfile())
	}
	d.set(p)
	d.mu.Lock()
	d.unready = time.Now()
	d.mu.Unlock()
	return d.finish(ctx)
}

// launch runs the daemon until it has detached itself and is connected to its databases.
// Some detach themselves before they are, some afterwards.
func (d *daemon) launch(ctx context.Context, args []string) error {
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	var connecting sync.WaitGroup
	if d.connect != nil {
		connecting.Go(func() { d.connect(starting) })
	}
	_, err := d.programs.runFor(ctx, d.programs.patience(d.reads...), d.name, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		// Killed, as it is where it takes too long. What it has left in the background
		// ends itself when it is ready and cannot say so, and must not be adopted.
		err = errors.Join(err, d.killLeft())
	}
	if err != nil || !d.runs() {
		cancel() // there is nobody to be connected
	}
	defer time.AfterFunc(reachTimeout, cancel).Stop()
	connecting.Wait()
	return err
}

// killTimeout is how long a process that was killed before it was ready may take to end.
const killTimeout = 5 * time.Second

// killLeft ends what runs by the daemon's pid file, also where nobody waits any more.
func (d *daemon) killLeft() error {
	p, err := openProcess(d.pidfile())
	if err != nil || p == nil {
		return err
	}
	defer p.close()
	limit, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	return errors.Join(p.signal(syscall.SIGKILL), p.wait(limit))
}

// replace ends the daemon and starts another, at once: what it has made stays.
func (d *daemon) replace(ctx context.Context) error {
	if err := d.proc.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if err := d.proc.wait(ctx); err != nil {
		return err
	}
	_, err := d.ensure(ctx)
	return err
}

func (d *daemon) set(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.proc != nil {
		d.proc.close()
	}
	d.proc = p
	d.state.Name, d.state.PID, d.state.Since, d.state.LastError = d.name, p.pid, time.Now(), ""
}

func (d *daemon) died(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.PID, d.adopted = 0, false
	if err != nil {
		d.state.LastError = err.Error()
	}
}

func (d *daemon) component() Component {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// Back-off between starts that fail or do not last.
const (
	firstDelay = 50 * time.Millisecond
	maxDelay   = 10 * time.Second
	// lasting is how long a daemon must have run for its next start to be at once.
	lasting = 10 * time.Second
)

// watch restarts the daemon whenever it dies, until ctx is done.
func (d *daemon) watch(ctx context.Context, restarted func(string)) {
	delay, short := time.Duration(0), 0
	for {
		d.mu.Lock()
		p, since := d.proc, d.state.Since
		d.mu.Unlock()
		if err := p.wait(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			d.log.Error(err, "Watching a daemon", "daemon", d.name)
		}
		d.died(nil)
		d.log.Info("Daemon died; starting it again", "daemon", d.name, "pid", p.pid)
		short++
		if time.Since(since) > lasting {
			delay, short = 0, 0
		}
		if short == shortLives && d.renew != nil { // once: where that does not help, it is not that
			d.renew()
		}
		for {
			if !pause(ctx, delay) {
				return
			}
			delay = min(max(2*delay, firstDelay), maxDelay)
			_, err := d.ensure(ctx)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			d.died(err)
			d.log.Error(err, "Starting a daemon failed; trying again", "daemon", d.name, "after", delay.String())
		}
		d.mu.Lock()
		d.state.Restarts++
		d.mu.Unlock()
		restarted(d.name)
	}
}

// pause waits; false where ctx was done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runs tells whether there is a process.
func (d *daemon) runs() bool {
	p, err := openProcess(d.pidfile())
	if err != nil || p == nil {
		return false
	}
	p.close()
	return true
}

// ask sends a command to the daemon's control socket.
func (d *daemon) ask(ctx context.Context, command ...string) (answer string, err error) {
	return d.programs.run(ctx, "ovs-appctl", append([]string{"--timeout=5", "-t", d.control()}, command...)...)
}

// stop ends the daemon: asked by its control socket, if it can do what it is asked for,
// then by SIGTERM, then by SIGKILL. ovn-controller takes its rows out of a database,
// and waits for that.
func (d *daemon) stop(ctx context.Context, able bool) error {
	p, err := openProcess(d.pidfile())
	if err != nil || p == nil {
		return err
	}
	defer p.close()
	ask := func() error {
		if !able {
			return p.signal(syscall.SIGTERM)
		}
		_, err := d.ask(ctx, d.exit...)
		return err
	}
	for _, attempt := range []struct {
		end  func() error
		wait time.Duration
	}{
		{ask, 5 * time.Second},
		{func() error { return p.signal(syscall.SIGTERM) }, 3 * time.Second},
		// Of ovs-vswitchd the kernel closes a packet socket for each port, at
		// some 10 ms each.
		{func() error { return p.signal(syscall.SIGKILL) }, 2 * time.Minute},
	} {
		err = attempt.end()
		limit, cancel := context.WithTimeout(ctx, attempt.wait)
		ended := p.wait(limit)
		cancel()
		if ended == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(fmt.Errorf("%s (pid %d) does not end, not even on SIGKILL", d.name, p.pid), err)
}

// maxLog bounds a log file; one former file is kept.
const maxLog = 10 << 20

// boundLog moves a log file that has grown too large aside. It tells whether the daemon,
// if it runs, is to open the file anew: also one that is missing, where the daemon did
// not when it was told, or somebody has removed it.
func boundLog(path string) bool {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	if err != nil || info.Size() < maxLog {
		return false
	}
	return os.Rename(path, path+".1") == nil
}
