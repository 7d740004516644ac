// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// rates are commands that measure how fast traffic is.
func (w *world) rates() map[string]command {
	return map[string]command{
		// rate FROM TO ADDRESS tcp|udp MBIT: iperf3 gets within 10 % of a rate from one namespace to another's
		// address, or with ! more than twice of it.
		"rate": func(ts *testscript.TestScript, neg bool, args []string) {
			want, err := strconv.ParseFloat(args[4], 64)
			ts.Check(err)
			got, err := iperf(args[0], args[1], args[2], args[3], want)
			ts.Check(err)
			ts.Logf("%.2f Mbit/s", got)
			if ok := near(got, want); !neg && !ok || neg && got < 2*want {
				ts.Fatalf("%.2f Mbit/s", got)
			}
		},
		// rate-start FROM TO ADDRESS: a stream that lasts. rate-now MBIT: TO receives at that rate within 30 s. rate-stop.
		"rate-start": func(ts *testscript.TestScript, _ bool, args []string) {
			server, err := iperfServer(args[1])
			ts.Check(err)
			client := exec.Command("ip", "netns", "exec", args[0], "iperf3", "-c", args[2], "-t", "600")
			ts.Check(client.Start())
			w.stream, w.streamTo = []*exec.Cmd{client, server}, args[1]
		},
		"rate-now": func(ts *testscript.TestScript, _ bool, args []string) {
			want, err := strconv.ParseFloat(args[0], 64)
			ts.Check(err)
			for limit := time.Now().Add(patience); ; {
				got, err := received(w.streamTo, 3*time.Second)
				ts.Check(err)
				ts.Logf("%.2f Mbit/s", got)
				if near(got, want) {
					return
				}
				if time.Now().After(limit) {
					ts.Fatalf("%.2f Mbit/s, want %v", got, want)
				}
			}
		},
		"rate-stop": func(*testscript.TestScript, bool, []string) { w.endStream() },
	}
}

func near(got, want float64) bool { return got > 0.9*want && got < 1.1*want }

// iperf measures what arrives, in Mbit/s. The sender of datagrams sends half as
// much again.
func iperf(from, to, address, protocol string, want float64) (float64, error) {
	server, err := iperfServer(to)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	args := []string{"netns", "exec", from, "iperf3", "-J", "-c", address, "-t", "6"}
	if protocol == "udp" {
		args = append(args, "-u", "-l", "1400", "-b", fmt.Sprintf("%gM", 1.5*want))
	}
	out, err := exec.Command("ip", args...).Output()
	var result struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if jsonErr := json.Unmarshal(out, &result); jsonErr != nil || err != nil || result.Error != "" {
		return 0, fmt.Errorf("iperf3: %w %s %s", err, result.Error, bytes.TrimSpace(out))
	}
	return result.End.Received.Rate / 1e6, nil
}

// iperfServer is one that listens, for one client.
func iperfServer(in string) (*exec.Cmd, error) {
	cmd := exec.Command("ip", "netns", "exec", in, "iperf3", "-s", "-1", "--forceflush")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "listening") {
			go func() { // or it stops when the pipe is full
				for lines.Scan() {
				}
			}()
			return cmd, nil
		}
	}
	_ = cmd.Wait()
	return nil, fmt.Errorf("iperf3 -s does not listen in %s", in)
}

// received measures how fast eth0 of a namespace receives, in Mbit/s.
func received(in string, during time.Duration) (float64, error) {
	read := func() (n float64, err error) {
		err = within(in, func() error {
			raw, err := os.ReadFile("/proc/thread-self/net/dev")
			if err != nil {
				return err
			}
			_, rest, found := strings.Cut(string(raw), "eth0:")
			if fields := strings.Fields(rest); found && len(fields) > 0 {
				n, err = strconv.ParseFloat(fields[0], 64)
				return err
			}
			return fmt.Errorf("no eth0 in %s", in)
		})
		return n, err
	}
	from := time.Now()
	first, err := read()
	if err != nil {
		return 0, err
	}
	time.Sleep(during)
	second, err := read()
	return (second - first) * 8 / 1e6 / time.Since(from).Seconds(), err
}

func (w *world) endStream() {
	for _, c := range w.stream {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	w.stream = nil
}
