// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package testns

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// stage tells a process how far inside of the namespaces it is.
const stage = "ARCA_TEST_NAMESPACE"

const (
	stageInit = "init" // it began the namespaces, and runs the tests as its child
	stageTest = "1"    // it runs the tests
)

// Main runs tests (testing.M's Run) in a network and mount namespace of their
// own, in which /run is empty. Call it from TestMain; it does not come back.
func Main(run func() int) {
	if os.Getenv(stage) == stageTest {
		isolate()
		os.Exit(run())
	}
	os.Exit(spawn(stageTest, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, wait))
}

// MainPID is Main with a PID namespace besides. What the tests start and what
// detaches itself, as a container's shim does, ends with them at the latest,
// even where they are killed. Process ids are those of that namespace.
func MainPID(run func() int) {
	switch os.Getenv(stage) {
	case stageTest:
		os.Exit(run())
	case stageInit:
		isolate()
		os.Exit(spawn(stageTest, 0, reap))
	}
	os.Exit(spawn(stageInit, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS|syscall.CLONE_NEWPID, wait))
}

func isolate() {
	if err := Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, "test namespace:", err)
		os.Exit(1)
	}
}

// spawn runs this program once more, in new namespaces, and gives its exit code.
func spawn(as string, namespaces uintptr, wait func(*exec.Cmd) int) int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stage+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "tests with real daemons need root to make namespaces:", err)
		return 1
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	return wait(cmd)
}

func wait(cmd *exec.Cmd) int {
	if err := cmd.Wait(); err != nil {
		return max(1, cmd.ProcessState.ExitCode())
	}
	return 0
}

// reap waits as the first process of a PID namespace must: it takes in every
// process that has lost its parent.
func reap(cmd *exec.Cmd) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR || pid != cmd.Process.Pid && err == nil:
		case err != nil:
			fmt.Fprintln(os.Stderr, "waiting for the tests:", err)
			return 1
		case status.Exited():
			return status.ExitStatus()
		default:
			return 1
		}
	}
}
