// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vas-solutus/arca-network/internal/nettest"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
)

// world is what the commands of one story work on.
type world struct {
	root, dir, run string
	daemon         *exec.Cmd
	pinger         *exec.Cmd
	pings          bytes.Buffer
	namespaces     map[string]bool
	target         string      // of the control API; empty is the default socket
	tls            *tls.Config // of the target
	servers        []*nettest.Server
	stream         []*exec.Cmd // of rate-start
	streamTo       string
	hidden         bool   // the machine's /var/lib, by cnitool
	engine         string // Podman's folder in /run, once it was used
}

// patience bounds every wait of a command.
const patience = 30 * time.Second

func (w *world) state() string      { return filepath.Join(w.dir, "state") }
func (w *world) kubeconfig() string { return filepath.Join(w.state(), "kubeconfig") }
func (w *world) flags() []string {
	return []string{"--state-dir", w.state(), "--run-dir", w.run, "--ovn-root", w.root}
}
func (w *world) options() ovnd.Options {
	return ovnd.Options{Root: w.root, Dir: filepath.Join(w.state(), "ovn"), RunDir: w.run}
}

type command = func(ts *testscript.TestScript, neg bool, args []string)

func (w *world) commands() map[string]command {
	return map[string]command{
		// start [FLAG...]: arca-network runs and its API answers.
		"start": func(ts *testscript.TestScript, _ bool, args []string) { w.start(ts, args) },
		// target ADDRESS [FOLDER]: call speaks to that address, with the certificates in a folder.
		"target": func(ts *testscript.TestScript, _ bool, args []string) { ts.Check(w.dial(ts, args)) },
		// call METHOD REQUEST: a call of the control API succeeds, or with ! fails. REQUEST is JSON, or @FILE.
		"call": func(ts *testscript.TestScript, neg bool, args []string) { w.call(ts, neg, args) },
		// crash: arca-network is killed with -9.
		"crash": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(w.daemon.Process.Kill())
			_ = w.daemon.Wait()
			w.daemon = nil
		},
		// terminate: arca-network ends cleanly on SIGTERM.
		"terminate": func(ts *testscript.TestScript, _ bool, _ []string) {
			ts.Check(w.daemon.Process.Signal(syscall.SIGTERM))
			ts.Check(w.daemon.Wait())
			w.daemon = nil
		},
		// down [FLAG...]: the daemons end too; with ! it ends with an error.
		"down": func(ts *testscript.TestScript, neg bool, args []string) {
			if err := ts.Exec("arca-network", slices.Concat([]string{"down"}, w.flags(), args)...); (err != nil) != neg {
				ts.Fatalf("unexpected outcome: %v", err)
			}
		},
		// no-daemons: none of the OVS and OVN daemons runs.
		"no-daemons": func(ts *testscript.TestScript, _ bool, _ []string) {
			if left := w.processes(); len(left) > 0 {
				ts.Fatalf("these still run: %s", strings.Join(left, "; "))
			}
		},
		// netns NAME...: namespaces are made, or with ! deleted.
		"netns": func(ts *testscript.TestScript, neg bool, args []string) {
			for _, name := range args {
				verb := "add"
				if neg {
					verb = "del"
				}
				ts.Check(ts.Exec("ip", "netns", verb, name))
				w.namespaces[name] = !neg
			}
		},
		// in NAME COMMAND...: a command runs in a namespace.
		"in": func(ts *testscript.TestScript, neg bool, args []string) {
			err := ts.Exec("ip", append([]string{"netns", "exec"}, args...)...)
			if (err != nil) != neg {
				ts.Fatalf("unexpected outcome: %v", err)
			}
		},
		// ready OBJECT...: objects become Ready.
		"ready": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(ts.Exec("arcactl", append([]string{"wait", "--for=condition=Ready", "--timeout=30s"}, args...)...))
		},
		// reaches NAME ADDRESS [SOURCE]: a namespace reaches an address, from one of its own, within 30 s, or with ! not now.
		"reaches": func(ts *testscript.TestScript, neg bool, args []string) {
			ping := []string{"netns", "exec", args[0], "ping", "-q", "-c", "3", "-i", "0.05", "-W", "1", args[1]}
			if len(args) > 2 {
				ping = append(ping, "-I", args[2])
			}
			for limit := time.Now().Add(patience); ; {
				err := ts.Exec("ip", ping...)
				if neg {
					if err == nil {
						ts.Fatalf("%s reaches %s", args[0], args[1])
					}
					return
				}
				if err == nil {
					return
				}
				if time.Now().After(limit) {
					ts.Fatalf("%s does not reach %s", args[0], args[1])
				}
			}
		},
		// serve NAME NETWORK PORT: a server in a namespace answers with the namespace's name and the client's address.
		"serve": func(ts *testscript.TestScript, _ bool, args []string) { w.serve(ts, args) },
		// ask NAME NETWORK ADDRESS PORT ANSWER: a namespace gets an answer within 30 s, or with ! (and no ANSWER) none now.
		"ask": ask,
		// resolves NAME SERVER QUESTION ADDRESS...: a namespace gets these A
		// records, in any order, within 30 s; or with ! not now.
		"resolves": func(ts *testscript.TestScript, neg bool, args []string) { w.resolves(ts, neg, args) },
		// condition OBJECT TYPE STATUS:REASON [REGEXP]: a condition becomes so, with such a message.
		"condition": func(ts *testscript.TestScript, _ bool, args []string) { w.condition(ts, args) },
		// healthy COMPONENT STATE [REGEXP]: arcactl health says so of a component, with such a message.
		"healthy": func(ts *testscript.TestScript, _ bool, args []string) { w.healthy(ts, args) },
		// kill-daemon DAEMON...: daemons are killed with -9.
		"kill-daemon": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, name := range args {
				ts.Check(w.kill(name))
			}
		},
		// wipe FILE...: databases vanish from the disk, and the server dies.
		"wipe": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, f := range args {
				ts.Check(os.Remove(filepath.Join(w.state(), "ovn", f)))
			}
			ts.Check(w.kill("ovsdb-server"))
		},
		// nb, ovs ARGS: ovn-nbctl and ovs-vsctl.
		"nb":  w.tool("ovn-nbctl"),
		"ovs": w.tool("ovs-vsctl"),
		// ping-start NAME ADDRESS: a ping every 10 ms. ping-stop LOST: at most so many were lost.
		"ping-start": func(ts *testscript.TestScript, _ bool, args []string) {
			w.pings.Reset()
			w.pinger = exec.Command("ip", "netns", "exec", args[0], "ping", "-i", "0.01", "-W", "1", args[1])
			w.pinger.Stdout = &w.pings
			ts.Check(w.pinger.Start())
		},
		"ping-stop": func(ts *testscript.TestScript, _ bool, args []string) { w.pingStop(ts, args) },
	}
}

func (w *world) start(ts *testscript.TestScript, flags []string) {
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	path, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), ":")[0], "arca-network"))
	ts.Check(err)
	w.daemon = exec.Command(path, append(append([]string{"run", "--log-format", "json"}, w.flags()...), flags...)...)
	w.daemon.Stdout, w.daemon.Stderr = log, log
	ts.Check(w.daemon.Start())
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // nothing tells but an answer
		if _, err := os.Stat(w.kubeconfig()); err == nil && ts.Exec("arcactl", "get", "networks") == nil {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("arca-network does not answer; its log:\n%s", ts.ReadFile("log"))
		}
	}
}

func (w *world) kill(name string) error {
	raw, err := os.ReadFile(filepath.Join(w.run, name+".pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (w *world) tool(name string) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		out, err := ovnd.Tool(context.Background(), w.options(), name, append([]string{"--db=unix:" + w.run + "/db.sock"}, args...)...)
		fmt.Fprintln(ts.Stdout(), out)
		if (err != nil) != neg {
			ts.Fatalf("unexpected outcome: %v", err)
		}
	}
}

func (w *world) condition(ts *testscript.TestScript, args []string) {
	path := fmt.Sprintf(`jsonpath={range .status.conditions[?(@.type=="%s")]}{.status}:{.reason} {.message}{end}`, args[1])
	want := "^" + regexp.QuoteMeta(args[2])
	if len(args) > 3 {
		want += " .*" + args[3]
	}
	re, err := regexp.Compile(want)
	ts.Check(err)
	var got string
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		cmd := exec.Command(strings.Split(ts.Getenv("PATH"), ":")[0]+"/arcactl", "--kubeconfig", w.kubeconfig(), "get", args[0], "-o", path)
		out, err := cmd.CombinedOutput()
		got = string(out)
		if err == nil && re.MatchString(got) {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%s %s: %q, want %s", args[0], args[1], got, want)
		}
	}
}

func (w *world) resolves(ts *testscript.TestScript, neg bool, args []string) {
	want := slices.Sorted(slices.Values(args[3:]))
	for limit := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		cmd := exec.Command("ip", "netns", "exec", args[0], "dig", "+short", "+tries=1", "+time=1", "@"+args[1], args[2], "A")
		out, err := cmd.Output()
		got := strings.Fields(string(out))
		slices.Sort(got)
		there := err == nil && slices.Equal(got, want)
		switch {
		case neg && there:
			ts.Fatalf("%s resolves %s", args[0], args[2])
		case neg || there:
			return
		case time.Now().After(limit):
			ts.Fatalf("%s asks for %s: %v, %v, want %v", args[0], args[2], got, err, want)
		}
	}
}

var answered = regexp.MustCompile(`icmp_seq=(\d+) ttl=`)

// pingStop counts the packets before the last answer that have none: what was
// under way at the end is not lost.
func (w *world) pingStop(ts *testscript.TestScript, args []string) {
	ts.Check(w.pinger.Process.Signal(os.Interrupt))
	_ = w.pinger.Wait() // its status tells of loss, and so do its words
	w.pinger = nil
	seen, last := map[int]bool{}, 0
	for _, m := range answered.FindAllStringSubmatch(w.pings.String(), -1) {
		seq, err := strconv.Atoi(m[1])
		ts.Check(err)
		seen[seq] = true
		last = max(last, seq)
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	lost := last - len(seen)
	ts.Logf("%d of %d packets were lost", lost, last)
	if last < 20 || lost > most {
		ts.Fatalf("%d of %d packets were lost, want at most %d; ping said:\n%s", lost, last, most, w.pings.String())
	}
}

// end takes down what a story that failed has left.
func (w *world) end() {
	w.endPodman()
	w.showCache()
	w.endStream()
	for _, c := range []*exec.Cmd{w.pinger, w.daemon} {
		if c != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	if _, err := os.Stat(w.run); err == nil {
		_ = ovnd.Stop(context.Background(), w.options())
	}
	for _, s := range w.servers {
		s.Close()
	}
	for name, there := range w.namespaces {
		if there {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
}

func (w *world) serve(ts *testscript.TestScript, args []string) {
	n, err := nettest.Open(args[0])
	ts.Check(err)
	defer func() { _ = n.Close() }()
	port, err := strconv.Atoi(args[2])
	ts.Check(err)
	s, err := n.Listen(args[1], "", port, args[0])
	ts.Check(err)
	w.servers = append(w.servers, s)
}

func ask(ts *testscript.TestScript, neg bool, args []string) {
	n, err := nettest.Open(args[0])
	ts.Check(err)
	defer func() { _ = n.Close() }()
	port, err := strconv.Atoi(args[3])
	ts.Check(err)
	for limit := time.Now().Add(patience); ; {
		got, err := n.Ask(args[1], "", args[2], port, time.Second)
		if neg {
			if err == nil {
				ts.Fatalf("%v: answered %q", args, got)
			}
			return
		}
		if err == nil && got == args[4] {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%v: got %q, %v", args, got, err)
		}
	}
}
