// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	miekg "github.com/miekg/dns"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// latencies is how many questions are asked one after the other.
const latencies = 2000

// offered are the loads, in questions a second, at which answers are timed: from
// what every server takes with ease to more than half of what the slowest takes at
// all. At full speed the time of an answer says no more than the rate: it is the
// number of those who wait, divided by it.
var offered = []int{1000, 10000, 30000}

// offer is how long each is offered.
const offer = time.Second

// outstanding is how many questions are open at full speed.
const outstanding = 64

// askInTurn asks from container 1 of network 0, and returns how long each answer
// took, in microseconds. The first answer is waited for and not counted.
func askInTurn() (samples []float64, err error) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- func() error {
			h, err := netns.GetFromPath(testns.Path(containerName(0, 1)))
			if err != nil {
				return err
			}
			defer h.Close()
			if err := netns.Set(h); err != nil {
				return err
			}
			samples, err = askFromHere()
			return err
		}()
	}()
	return samples, <-done
}

// askFromHere asks from the namespace of the thread, with a socket that blocks and
// system calls that Go's scheduler does not know of: it would hand the thread's work
// to others meanwhile, on the processors that are to carry the answer.
func askFromHere() (samples []float64, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 53, Addr: netip.MustParseAddr(gateway(0)).As4()}); err != nil {
		return nil, err
	}
	question, err := new(miekg.Msg).SetQuestion(containerName(0, 0)+"."+networkName(0)+".", miekg.TypeA).Pack()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	ask := func(wait time.Duration) error {
		limit := unix.NsecToTimeval(wait.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
			return err
		}
		if _, err := untold(unix.SYS_WRITE, fd, question); err != nil {
			return err
		}
		n, err := untold(unix.SYS_READ, fd, buf)
		if err != nil {
			return err
		}
		m := new(miekg.Msg)
		if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), address(0, 0)) {
			return fmt.Errorf("wrong answer: %v %w", m, err)
		}
		return nil
	}
	for limit := time.Now().Add(patience); ; {
		if err = ask(50 * time.Millisecond); err == nil {
			break
		}
		if time.Now().After(limit) {
			return nil, err
		}
	}
	for len(samples) < latencies {
		from := time.Now()
		if err := ask(time.Second); err != nil {
			return nil, err
		}
		samples = append(samples, float64(time.Since(from).Nanoseconds())/1e3)
	}
	return samples, nil
}

// untold makes a system call that Go's scheduler is not told of.
func untold(number uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR: // by the scheduler, which wants the thread
			runtime.Gosched()
		default:
			return 0, errno
		}
	}
}

// Of what dnsperf says.
var (
	answeredPerSecond = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)
	lostQueries       = regexp.MustCompile(`Queries lost:\s+(\d+)`)
	goodAnswers       = regexp.MustCompile(`Response codes:\s+NOERROR \d+ \(100\.00%\)`)
	answerSeconds     = regexp.MustCompile(`(?m)^> NOERROR \S+ A ([0-9.]+)$`)
)

// askAtFull asks as fast as it goes and returns the rate of right answers.
func askAtFull(questions string) (rate float64, err error) {
	_, rate, err = dnsperf(questions, window, "-c", "4", "-q", strconv.Itoa(outstanding))
	return rate, err
}

// askAtRate asks so often a second and returns how long each answer took, in
// microseconds.
func askAtRate(questions string, load int) (samples []float64, err error) {
	said, rate, err := dnsperf(questions, offer, "-c", "4", "-Q", strconv.Itoa(load), "-v")
	if err != nil {
		return nil, err
	}
	for _, line := range answerSeconds.FindAllSubmatch(said, -1) {
		seconds, err := strconv.ParseFloat(string(line[1]), 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, seconds*1e6)
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("dnsperf tells no times: %s", said)
	}
	if rate < 0.95*float64(load) {
		fmt.Fprintf(os.Stderr, "bench:   of %d/s that were to be asked, %.0f/s were\n", load, rate)
	}
	return samples, nil
}

// dnsperf asks for some time, and returns what it says and the rate of right
// answers. Any wrong one is an error; a lost one is told.
func dnsperf(questions string, during time.Duration, args ...string) (said []byte, rate float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args = append([]string{"netns", "exec", containerName(0, 1), "dnsperf", "-s", gateway(0), "-d", questions, "-l", fmt.Sprint(int(during.Seconds()))}, args...)
	said, err = exec.CommandContext(ctx, "ip", args...).Output()
	if err != nil {
		return nil, 0, fmt.Errorf("dnsperf: %w: %s", err, said)
	}
	answered, lost := answeredPerSecond.FindSubmatch(said), lostQueries.FindSubmatch(said)
	if answered == nil || lost == nil || !goodAnswers.Match(said) {
		return nil, 0, fmt.Errorf("dnsperf said: %s", said)
	}
	if string(lost[1]) != "0" {
		fmt.Fprintf(os.Stderr, "bench:   %s questions were lost\n", lost[1])
	}
	rate, err = strconv.ParseFloat(string(answered[1]), 64)
	return said, rate, err
}
