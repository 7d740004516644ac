// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fault breaks what arca-network depends on, and arca-network itself,
// one fault at a time and under traffic, and reports what that costs: packets
// lost, seconds until all is as it was, and whether anything that was
// acknowledged is missing. It runs in namespaces of its own and leaves nothing
// behind. It ends with status 1 where a fault does not heal.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vas-solutus/arca-network/internal/testns"
)

var (
	short    = flag.Bool("short", false, "fewer faults, and fewer and shorter repetitions: about two minutes")
	only     = flag.String("run", "", "regular expression of the faults to run; all if empty")
	list     = flag.Bool("list", false, "print the names of the faults")
	seed     = flag.Uint64("seed", 0, "for the random moments; 0 chooses one, which is printed")
	bin      = flag.String("bin", "bin", "folder of arca-network")
	root     = flag.String("ovn-root", "", "root folder of OVS and OVN; empty is the system's")
	jsonFile = flag.String("json", "", "file for the figures")
	markdown = flag.String("markdown", "", "file for the table, in Markdown")
	keep     = flag.String("keep-log", "", "folder to keep the logs of arca-network and the daemons of a fault that did not heal")
)

// stage says what this process is: nothing is who is called, then the first
// process of the namespaces, then the suite.
const stage = "ARCA_FAULT_STAGE"

func main() {
	flag.Parse()
	log.SetLogger(logr.Discard()) // of the client
	faults, err := chosen()
	if err != nil {
		fail(err)
	}
	if *list {
		for _, f := range faults {
			fmt.Println(f.name)
		}
		return
	}
	switch os.Getenv(stage) {
	case "":
		if *seed == 0 {
			*seed = rand.Uint64()
		}
		os.Exit(again("first", syscall.CLONE_NEWNET|syscall.CLONE_NEWNS|syscall.CLONE_NEWPID, "-seed", fmt.Sprint(*seed)))
	case "first":
		if err := testns.Isolate(); err != nil {
			fail(fmt.Errorf("making the namespaces usable: %w", err))
		}
		os.Exit(again("suite", 0))
	case "suite":
		healed, err := runSuite(faults)
		if err != nil {
			fail(err)
		}
		if !healed {
			os.Exit(1)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "fault:", err)
	os.Exit(1)
}

// again runs this program once more as another stage, and returns its status.
// The first process of a pid namespace also buries the daemons, which are
// nobody else's children.
func again(next string, flags uintptr, more ...string) int {
	cmd := exec.Command("/proc/self/exe", append(more, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), stage+"="+next)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fail(fmt.Errorf("must run as root, to make namespaces: %w", err))
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fail(err)
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			return 128 + int(status.Signal())
		}
	}
}

// chosen are the faults that the flags ask for.
func chosen() ([]fault, error) {
	re, err := regexp.Compile(*only)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var out []fault
	for _, f := range faults() {
		if re.MatchString(f.name) && (!*short || f.short || *only != "") {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("-run: no fault's name matches %q; -list prints them", *only)
	}
	return out, nil
}

// runSuite runs the faults one after the other on one machine. After one that
// did not heal, the next one gets a new machine.
func runSuite(faults []fault) (healed bool, err error) {
	from := time.Now()
	healed = true
	random := rand.New(rand.NewPCG(*seed, 0))
	all := &results{Seed: *seed, Short: *short}
	var w *world
	for _, f := range faults {
		if w == nil {
			if w, err = newWorld(random); err != nil {
				return false, fmt.Errorf("starting: %w", err)
			}
			all.Versions = w.versions
		}
		fmt.Fprintf(os.Stderr, "fault: %s\n", f.name)
		r := w.suffer(f)
		all.Faults = append(all.Faults, r)
		if r.Error == "" {
			continue
		}
		healed = false
		fmt.Fprintf(os.Stderr, "fault: %s: NOT HEALED: %s\n", f.name, r.Error)
		w.keepLogs(f.name)
		if err := w.abandon(); err != nil {
			return false, err
		}
		w = nil
	}
	if w != nil {
		if err := w.end(); err != nil {
			healed = false
			all.End = err.Error()
		}
	}
	all.Seconds = time.Since(from).Seconds()
	all.print(os.Stdout)
	return healed, all.write()
}
