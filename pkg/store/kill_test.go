// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// childFolder makes the test binary a process that writes to a store in that
// folder until it is killed.
const childFolder = "STORE_TEST_CHILD_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(memoryFolder); dir != "" {
		if err := printMemory(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(childFolder); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver creates, updates and sometimes deletes widgets from several
// writers, and prints each operation once it is acknowledged.
func writeForEver(dir string) error {
	ctx := context.Background()
	s, err := store.Start(ctx, store.Options{Dir: dir})
	if err != nil {
		return err
	}
	client, err := newWidgetClient(s.Config())
	if err != nil {
		return err
	}
	var out sync.Mutex
	acknowledge := func(op string, n int64) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf("%s %d\n", op, n)
	}
	failed := make(chan error)
	base := time.Now().UnixNano()
	for writer := range int64(4) {
		go func() {
			for n := base + writer; ; n += 4 {
				name := fmt.Sprintf("w-%d", n)
				made, err := client.Create(ctx, widget(name, 1), metav1.CreateOptions{})
				if err != nil {
					failed <- err
					return
				}
				acknowledge("create", n)
				if err := unstructured.SetNestedField(made.Object, sizeOf(n), "spec", "size"); err != nil {
					failed <- err
					return
				}
				if _, err := client.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
					failed <- err
					return
				}
				acknowledge("update", n)
				if !isDeleted(n) {
					continue
				}
				if err := client.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
					failed <- err
					return
				}
				acknowledge("delete", n)
			}
		}()
	}
	return <-failed
}

func sizeOf(n int64) int64   { return 2 + n%90 }
func isDeleted(n int64) bool { return n%3 == 0 }

// What was acknowledged is there after SIGKILL, at whatever moment it comes.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	stopStore(t, startStore(t, store.Options{Dir: dir})) // installs the definition
	acknowledged := map[int64]string{}
	for round := range 5 {
		child := startChild(t, dir)
		lines := bufio.NewScanner(child.out)
		var kill *time.Timer
		for lines.Scan() {
			if kill == nil {
				if round == 0 {
					checkHolder(t, dir, child.cmd.Process.Pid)
				}
				kill = time.AfterFunc(time.Duration(50+rand.IntN(400))*time.Millisecond, func() { child.cmd.Process.Kill() })
			}
			op, number, ok := strings.Cut(lines.Text(), " ")
			n, err := strconv.ParseInt(number, 10, 64)
			if !ok || err != nil {
				continue // the line that the kill cut
			}
			acknowledged[n] = op
		}
		_ = child.cmd.Wait()
		if kill == nil {
			t.Fatalf("the child wrote nothing: %s", child.stderr)
		}
		if text := child.stderr.String(); text != "" {
			t.Errorf("the store wrote to standard error: %s", text)
		}
		verify(t, dir, acknowledged)
	}
	t.Logf("%d widgets acknowledged", len(acknowledged))
}

type child struct {
	cmd    *exec.Cmd
	out    interface{ Read([]byte) (int, error) }
	stderr *bytes.Buffer
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	c := child{cmd: exec.CommandContext(testContext(t), os.Args[0]), stderr: &bytes.Buffer{}}
	c.cmd.Env = append(os.Environ(), childFolder+"="+dir)
	c.cmd.Stderr = c.stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func checkHolder(t *testing.T, dir string, pid int) {
	t.Helper()
	_, err := store.Start(testContext(t), store.Options{Dir: dir})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("Start beside another process: %v, want ErrLocked with process %d", err, pid)
	}
}

func verify(t *testing.T, dir string, acknowledged map[int64]string) {
	t.Helper()
	s := startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	list, err := widgetClient(t, s.Config()).List(testContext(t), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, item := range list.Items {
		sizes[item.GetName()], _, _ = unstructured.NestedInt64(item.Object, "spec", "size")
	}
	for n, op := range acknowledged {
		name := fmt.Sprintf("w-%d", n)
		size, exists := sizes[name]
		switch op { // the operation after it may have been done, unacknowledged
		case "create":
			if !exists {
				t.Errorf("%s was created and is gone", name)
			}
		case "update":
			if exists && size != sizeOf(n) || !exists && !isDeleted(n) {
				t.Errorf("%s was updated to size %d, and is %d (exists: %v)", name, sizeOf(n), size, exists)
			}
		case "delete":
			if exists {
				t.Errorf("%s was deleted and is back", name)
			}
		}
	}
}
