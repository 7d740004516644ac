// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dockertest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// daemon is a process that tells when it is ready, in systemd's way.
type daemon struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // is closed when the process is gone
}

// launch starts a daemon and returns when it is ready.
func launch(log string, env []string, name string, args ...string) (*daemon, error) {
	// A socket without a name in the file system: nothing of it is left.
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@" + log, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d := &daemon{cmd: exec.Command(name, args...), log: log, done: make(chan struct{})}
	d.cmd.Env = append(env, "NOTIFY_SOCKET=@"+log)
	d.cmd.Stdout, d.cmd.Stderr = out, out
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is in its log
		close(d.done)
		_ = ready.SetReadDeadline(time.Now()) // nobody will say it now
	}()
	if err := ready.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	for buf := make([]byte, 4096); ; {
		n, err := ready.Read(buf)
		if err != nil {
			err = fmt.Errorf("%s does not become ready: %w; its log ends:\n%s", filepath.Base(name), err, d.tail())
			return nil, errors.Join(err, d.kill())
		}
		if strings.Contains("\n"+string(buf[:n])+"\n", "\nREADY=1\n") {
			return d, nil
		}
	}
}

func (d *daemon) runs() bool {
	if d == nil {
		return false
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// kill ends it at once.
func (d *daemon) kill() error { return d.end(syscall.SIGKILL) }

// terminate lets it end in order; one that does not is killed, and that is an error.
func (d *daemon) terminate() error {
	if err := d.end(syscall.SIGTERM); err != nil {
		return errors.Join(err, d.kill())
	}
	return nil
}

func (d *daemon) end(s os.Signal) error {
	if err := d.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s (pid %d) does not end on %s; its log ends:\n%s", d.cmd.Path, d.cmd.Process.Pid, s, d.tail())
	}
}

// tail is the end of the daemon's log.
func (d *daemon) tail() string {
	if d == nil {
		return "(it was not started)"
	}
	raw, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(raw[max(0, len(raw)-most):])
}
