// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func BenchmarkStart(b *testing.B) {
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s := startStore(b, store.Options{Dir: b.TempDir()})
			b.StopTimer()
			stopStore(b, s)
			b.StartTimer()
		}
	})
	b.Run("again", func(b *testing.B) {
		dir := b.TempDir()
		stopStore(b, startStore(b, store.Options{Dir: dir}))
		for b.Loop() {
			s := startStore(b, store.Options{Dir: dir})
			b.StopTimer()
			stopStore(b, s)
			b.StartTimer()
		}
	})
}

// BenchmarkCreate has from 1 to 64 clients create objects at the same time.
func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := startStore(b, store.Options{Dir: b.TempDir()})
			defer stopStore(b, s)
			client := widgetClient(b, s.Config())
			ctx := testContext(b)
			var next atomic.Int64
			took := make([]time.Duration, b.N)
			b.ResetTimer()
			var running sync.WaitGroup
			for range clients {
				running.Go(func() {
					for n := next.Add(1) - 1; n < int64(b.N); n = next.Add(1) - 1 {
						began := time.Now()
						if _, err := client.Create(ctx, widget(fmt.Sprintf("w-%d", n), 1), metav1.CreateOptions{}); err != nil {
							b.Error(err)
							return
						}
						took[n] = time.Since(began)
					}
				})
			}
			running.Wait()
			b.StopTimer()
			reportPercentiles(b, took)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := startStore(b, store.Options{Dir: b.TempDir()})
	defer stopStore(b, s)
	createWidgets(b, widgetClient(b, s.Config()), 0, 1)
	outside, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		b.Fatal(err)
	}
	outside.QPS = -1
	for name, client := range map[string]dynamic.ResourceInterface{
		"memory": widgetClient(b, s.Config()), "tls": widgetClient(b, outside),
	} {
		b.Run(name, func(b *testing.B) {
			ctx := testContext(b)
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := client.Get(ctx, "w-0", metav1.GetOptions{}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			reportPercentiles(b, took)
		})
	}
}

func reportPercentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}

// memoryFolder makes the test binary a process that prints its memory.
const memoryFolder = "STORE_TEST_MEMORY_FOLDER"

const memoryObjects = 11_000

// BenchmarkMemory tells the anonymous memory of a process with nothing but a
// store, idle, and with objects that an informer holds.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		cmd := exec.CommandContext(testContext(b), os.Args[0])
		cmd.Env = append(os.Environ(), memoryFolder+"="+b.TempDir())
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var idle, full float64
		if _, err := fmt.Fscan(bytes.NewReader(out), &idle, &full); err != nil {
			b.Fatalf("%v in %q", err, out)
		}
		b.ReportMetric(idle/1024, "idle-MiB")
		b.ReportMetric(full/1024, strconv.Itoa(memoryObjects)+"-objects-MiB")
	}
}

func printMemory(dir string) error {
	ctx := context.Background()
	s, err := store.Start(ctx, store.Options{Dir: dir, CRDs: append(store.Options{}.CRDs, widgetCRD())})
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // idle is what this is about
	if err := printAnonymous(); err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(s.Config())
	if err != nil {
		return err
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	factory.ForResource(widgets).Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for n := range memoryObjects {
		if _, err := client.Resource(widgets).Create(ctx, widget(fmt.Sprintf("w-%d", n), 1), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	time.Sleep(3 * time.Second)
	if err := printAnonymous(); err != nil {
		return err
	}
	return s.Stop(ctx)
}

func printAnonymous() error {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return err
	}
	match := regexp.MustCompile(`(?m)^Anonymous: +([0-9]+) kB$`).FindSubmatch(text)
	if match == nil {
		return fmt.Errorf("no Anonymous in %s", text)
	}
	_, err = fmt.Printf("%s\n", match[1])
	return err
}
