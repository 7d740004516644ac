// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures arca-network beside its peers in one run: the command
// line tools for the same result, the floor, a bare OVSDB client that writes the
// same rows in the best transactions it can, and for what users of Docker wait
// for, a Docker Engine's own networks. Each way runs in
// namespaces of its own. It judges nothing: it prints a table and writes JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vas-solutus/arca-network/internal/testns"
)

var (
	sizes   = flag.String("sizes", "10,100", "numbers of networks, each with ten attachments, separated by commas; none leaves them out")
	ways    = flag.String("ways", "ours,floor,cli", "what to measure at each size: "+strings.Join(wayNames(), ", "))
	samples = flag.Int("samples", 20, "samples of each latency")
	here    = flag.Int("here", 1000, "at most so many containers run on this host; the rest of each network's ten run elsewhere")
	crowd   = flag.Int("crowd", 1000, "containers that 16 clients attach at once; 0 leaves it out")
	extras  = flag.String("extras", "footprint,throughput,egress,published,dns,policy,docker,compose,dockerlists", "what to measure once: footprint, throughput, egress, published, dns, policy, docker, compose, dockerlists; none leaves them out")
	out     = flag.String("out", "test/bench/out/bench.json", "file for the figures; those of another run in it are kept where this one does not measure them")
	bin     = flag.String("bin", "bin", "folder of arca-network and arcad")
	profile = flag.String("profile", "", "file for a processor profile of arca-network during its bulk load")
	root    = flag.String("ovn-root", "", "root folder of OVS and OVN; empty is the system's")
)

// inside names the child's task: "way,size".
const inside = "ARCA_BENCH_INSIDE"

func main() {
	flag.Parse()
	if task := os.Getenv(inside); task != "" {
		// All that it starts ends with it, and what detaches itself is waited for.
		testns.MainPID(func() int {
			must(runInside(task))
			return 0
		})
	}
	all := earlier(*out)
	for _, task := range tasks() {
		fmt.Fprintf(os.Stderr, "bench: %s\n", strings.Replace(task, ",", " at networks: ", 1))
		results, err := child(task)
		if err != nil {
			must(fmt.Errorf("%s: %w", task, err))
		}
		all = replace(all, results)
		must(save(*out, all))
	}
	table(os.Stdout, all)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func tasks() (out []string) {
	for _, size := range list(*sizes) {
		for _, way := range list(*ways) {
			out = append(out, way+","+size)
		}
	}
	for _, extra := range list(*extras) {
		out = append(out, extra+",0")
	}
	return out
}

func list(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(e string) bool { return e == "" || e == "none" })
}

// child measures one task in a process with namespaces of its own.
func child(task string) ([]result, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+task)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	raw, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var results []result
	return results, json.Unmarshal(raw, &results)
}

func runInside(task string) error {
	name, size, _ := strings.Cut(task, ",")
	n, err := strconv.Atoi(size)
	if err != nil {
		return fmt.Errorf("--sizes: %q is no number of networks", size)
	}
	dir, err := os.MkdirTemp("", "arca-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var results []result
	switch name {
	case "footprint":
		results, err = footprint(dir)
	case "throughput":
		results, err = throughput(dir)
	case "dns":
		results, err = names(dir)
	case "egress":
		results, err = besidePeer(dir, egress)
	case "published":
		results, err = besidePeer(dir, published)
	case "policy":
		results, err = policyChange(dir)
	case "docker":
		results, err = withDocker(dir, docker)
	case "compose":
		results, err = withDocker(dir, compose)
	case "dockerlists":
		results, err = withDocker(dir, dockerLists, withoutFilters...)
	default:
		results, err = measureWay(name, dir, n)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func save(file string, all []result) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}
