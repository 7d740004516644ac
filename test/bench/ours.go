// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/topology"
)

// ours is arca-network, as a user has it: its own process, its API over TLS on
// the loopback.
type ours struct {
	*daemons
	process *exec.Cmd
	flags   []string // more of them
	api     client.WithWatch
	asked   time.Time
}

// began is when the last object was asked for: a user watches before that.
func (o *ours) began() time.Time { return o.asked }

func (o *ours) pid() int { return o.process.Process.Pid }

func (o *ours) start() error {
	if err := o.begin(); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(o.state(), "kubeconfig"))
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // nothing tells but an answer
		if o.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err == nil {
			if err = o.api.List(context.Background(), &v1alpha1.NetworkList{}); err == nil {
				break
			}
		}
		if time.Now().After(limit) {
			return fmt.Errorf("arca-network does not answer: %w", err)
		}
	}
	if err := o.observe(); err != nil {
		return err
	}
	if _, err := o.tool("ovs-vsctl", "wait-until", "Interface", topology.UplinkInterface, "external_ids:ovn-installed=true"); err != nil {
		return err
	}
	return o.settle()
}

// metrics and pprof are where arca-network tells what it has done; the
// namespace is its own.
const (
	metrics = "127.0.0.1:8080"
	pprof   = "127.0.0.1:8081"
)

// begin starts the process and returns when its kubeconfig is there.
func (o *ours) begin() error {
	log, err := os.OpenFile(filepath.Join(o.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	o.process = exec.Command(filepath.Join(*bin, "arca-network"), append([]string{"run", "--state-dir", o.state(), "--run-dir", o.run(),
		"--ovn-root", *root, "--log-format", "json", "--metrics-bind-address", metrics, "--pprof-bind-address", pprof}, o.flags...)...)
	o.process.Stdout, o.process.Stderr = log, log
	if err := o.process.Start(); err != nil {
		return err
	}
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(o.state(), "kubeconfig")); err == nil {
			return nil
		}
		if time.Now().After(limit) {
			return errors.New("arca-network writes no kubeconfig")
		}
	}
}

func (o *ours) stop() error {
	if o.process == nil {
		return nil
	}
	err := o.process.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, o.process.Wait(), o.stopDaemons())
}

// creators is how many clients load the API side by side.
const creators = 16

func (o *ours) bulk(networks int) (float64, bool, error) {
	if *profile != "" {
		done := make(chan error)
		go func() { done <- takeProfile(*profile) }()
		defer func() { fmt.Fprintf(os.Stderr, "bench:   profile: %v\n", <-done) }()
	}
	from := time.Now()
	if err := o.each(networks, func(i int) client.Object { return spec(networkObject(i)) }); err != nil {
		return 0, false, err
	}
	if err := o.each(10*networks, func(n int) client.Object { return spec(attachmentObject(n/10, n%10)) }); err != nil {
		return 0, false, err
	}
	fmt.Fprintf(os.Stderr, "bench:   %d objects acknowledged after %.3g s\n", 11*networks, time.Since(from).Seconds())
	if err := o.allUp(perNetwork * networks); err != nil {
		return 0, false, err
	}
	err := o.await(10*networks, perNetwork*networks, patience)
	return time.Since(from).Seconds(), false, err
}

// spec is what a user writes.
func spec(object client.Object) client.Object {
	object.SetUID("")
	switch o := object.(type) {
	case *v1alpha1.Network:
		o.Status = v1alpha1.NetworkStatus{}
	case *v1alpha1.Attachment:
		o.Status = v1alpha1.AttachmentStatus{}
	}
	return object
}

// each creates objects side by side.
func (o *ours) each(n int, object func(int) client.Object) error {
	next := make(chan int)
	errs := make([]error, creators)
	var wg sync.WaitGroup
	for w := range creators {
		wg.Go(func() {
			for i := range next {
				if err := o.api.Create(context.Background(), object(i)); err != nil && errs[w] == nil {
					errs[w] = err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// progress is which attachments are Programmed, and which are Ready.
type progress struct{ programmed, ready map[string]bool }

func (p progress) note(a *v1alpha1.Attachment) {
	for kind, names := range map[string]map[string]bool{v1alpha1.ConditionProgrammed: p.programmed, v1alpha1.ConditionReady: p.ready} {
		if meta.IsStatusConditionTrue(a.Status.Conditions, kind) {
			names[a.Name] = true
		} else {
			delete(names, a.Name)
		}
	}
}

// await waits until so many attachments are Programmed, and at least so many
// Ready. It lists them, and follows from there.
func (o *ours) await(programmed, ready int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	p := progress{programmed: map[string]bool{}, ready: map[string]bool{}}
	there := func() bool { return len(p.programmed) == programmed && len(p.ready) >= ready }
	page := &v1alpha1.AttachmentList{}
	for more := true; more; more = page.Continue != "" {
		// As kubectl does: an answer of everything at once takes memory.
		if err := o.api.List(ctx, page, client.Limit(500), client.Continue(page.Continue)); err != nil {
			return err
		}
		for _, a := range page.Items {
			p.note(&a)
		}
	}
	if there() {
		return nil
	}
	w, err := o.api.Watch(ctx, page, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: page.ResourceVersion}})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if a, ok := e.Object.(*v1alpha1.Attachment); ok {
			p.note(a)
		}
		if there() {
			return nil
		}
	}
	return fmt.Errorf("%d attachments are Programmed, of %d, and %d Ready, of %d: the watch ended: %w", len(p.programmed), programmed, len(p.ready), ready, ctx.Err())
}

// watched opens a watch of one object, does something, and waits for an event
// of that object.
func (o *ours) watched(list client.ObjectList, name string, do func() error, is func(watch.Event) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), ages)
	defer cancel()
	w, err := o.api.Watch(ctx, list, &client.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name)})
	if err != nil {
		return err
	}
	defer w.Stop()
	o.asked = time.Now()
	if err := do(); err != nil {
		return err
	}
	for e := range w.ResultChan() {
		if is(e) {
			return nil
		}
	}
	return fmt.Errorf("%s: the watch ended: %w", name, ctx.Err())
}

func gone(e watch.Event) bool { return e.Type == watch.Deleted }

func (o *ours) network(i int) error {
	return o.watched(&v1alpha1.NetworkList{}, networkName(i),
		func() error { return o.api.Create(context.Background(), spec(networkObject(i))) },
		func(e watch.Event) bool {
			n, ok := e.Object.(*v1alpha1.Network)
			return ok && meta.IsStatusConditionTrue(n.Status.Conditions, v1alpha1.ConditionProgrammed)
		})
}

func (o *ours) attachment(i, j int) error { return o.attach(spec(attachmentObject(i, j))) }

// attach creates an attachment and waits until it is ready.
func (o *ours) attach(a client.Object) error {
	return o.watched(&v1alpha1.AttachmentList{}, a.GetName(),
		func() error { return o.api.Create(context.Background(), a) },
		func(e watch.Event) bool {
			a, ok := e.Object.(*v1alpha1.Attachment)
			return ok && meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
		})
}

func (o *ours) removeNetwork(i int) error {
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: networkName(i)}}
	return o.watched(&v1alpha1.NetworkList{}, n.Name, func() error { return o.remove(n) }, gone)
}

func (o *ours) removeAttachment(i, j int) error {
	a := &v1alpha1.Attachment{ObjectMeta: metav1.ObjectMeta{Name: attachmentName(i, j)}}
	return o.watched(&v1alpha1.AttachmentList{}, a.Name, func() error { return o.remove(a) }, gone)
}

func (o *ours) remove(object client.Object) error {
	err := o.api.Delete(context.Background(), object)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("it was not there: %w", err)
	}
	return err
}

// rewrite: arca-network does it by itself.
func (o *ours) rewrite(networks int) error { return o.nb.rows(10*networks, ages) }

// restart kills the process, and starts it; all is adopted when each object has
// been reconciled with success.
func (o *ours) restart(networks int) error {
	if err := o.process.Process.Kill(); err != nil {
		return err
	}
	_ = o.process.Wait()
	if err := o.begin(); err != nil {
		return err
	}
	want := map[string]int{"network": networks, "attachment": 10 * networks, "topology": 1}
	// An answer costs arca-network some milliseconds of the processors.
	again := max(10*time.Millisecond, time.Duration(networks)*100*time.Microsecond)
	for limit := time.Now().Add(ages); ; time.Sleep(again) {
		done, err := reconciled()
		complete := err == nil
		for controller, n := range want {
			complete = complete && done[controller] >= n
		}
		if complete {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("reconciled %v of %v: %v", done, want, err)
		}
	}
}

// reconciled reads how often each controller has come to the end of its work.
func reconciled() (map[string]int, error) {
	const family = `controller_runtime_reconcile_total{controller="`
	res, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := map[string]int{}
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), family)
		if !ok || !strings.Contains(rest, `result="success"`) {
			continue
		}
		name, _, _ := strings.Cut(rest, `"`)
		n, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return nil, err
		}
		out[name] += int(n)
	}
	return out, nil
}

// takeProfile looks at arca-network for a while.
func takeProfile(file string) error {
	res, err := http.Get("http://" + pprof + "/debug/pprof/profile?seconds=10")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}
