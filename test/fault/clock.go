// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The machine's clock is nobody's to change, a time namespace has only the
// monotonic clocks, and a static program loads no library that could fake it.
// What every program reads the clock by is the kernel's vDSO, of which a write
// makes a copy that is one process' own: there, clock_gettime is replaced by one
// that adds to the wall clock. The process sees its clock jump, as at a step of
// NTP, and no other does.

// jumpClock shifts the wall clock of a process by so much from the machine's.
func jumpClock(pid int, by time.Duration) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("the clock jump is written for amd64, not for %s", runtime.GOARCH)
	}
	code := clockGettime(int32(by / time.Second))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	from, to, err := vdsoOf(pid)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, int64(from)); err != nil {
		return fmt.Errorf("reading the vDSO of %d: %w", pid, err)
	}
	offset, size, err := symbol(image, "__vdso_clock_gettime")
	if err != nil {
		return err
	}
	if size < uint64(len(code)) {
		return fmt.Errorf("clock_gettime of the vDSO has %d bytes, want %d", size, len(code))
	}
	for limit := time.Now().Add(10 * time.Second); ; {
		inside, err := threadInside(pid, from, to)
		if err != nil {
			return err
		}
		if !inside {
			break
		}
		if time.Now().After(limit) {
			return fmt.Errorf("a thread of %d does not leave the vDSO", pid)
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
	}
	_, err = mem.WriteAt(code, int64(from+offset))
	return err
}

// clockGettime is the system call, and seconds added for CLOCK_REALTIME (0). The
// first argument is in edi, the second, the result's address, in rsi.
func clockGettime(seconds int32) []byte {
	code := []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 0x07, // jne the return
		0x48, 0x81, 0x06, // add qword [rsi], seconds
	}
	code = binary.LittleEndian.AppendUint32(code, uint32(seconds))
	return append(code, 0xc3) // ret
}

// vdsoOf is where a process has its vDSO.
func vdsoOf(pid int) (from, to uint64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
			return from, to, err
		}
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// symbol finds a function in an ELF image.
func symbol(image []byte, name string) (offset, size uint64, err error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, 0, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, 0, err
	}
	for _, s := range symbols {
		if s.Name == name {
			return s.Value, s.Size, nil
		}
	}
	return 0, 0, fmt.Errorf("the vDSO has no %s", name)
}

// threadInside waits until all threads of a stopped process stand still, and
// tells whether one does so within a range of addresses.
func threadInside(pid int, from, to uint64) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		for limit := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			raw, err := os.ReadFile(t)
			if os.IsNotExist(err) {
				break // the thread has ended
			}
			fields := strings.Fields(string(raw))
			if err == nil && len(fields) > 1 && fields[0] != "running" {
				pc, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
				if err != nil {
					return false, err
				}
				if pc >= from && pc < to {
					return true, nil
				}
				break
			}
			if time.Now().After(limit) {
				return false, fmt.Errorf("a thread of %d does not stop: %q, %v", pid, raw, err)
			}
		}
	}
	return false, nil
}
