// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/config/crd"
	"github.com/vas-solutus/arca-network/pkg/store"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// startStore starts a store for the time of the test, with a client of it.
func startStore(t *testing.T) (*store.Store, client.Client) {
	t.Helper()
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Start(testContext(t), store.Options{Dir: t.TempDir(), CRDs: crds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(s.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// run runs arcactl, and returns what it prints. An error that ends the process is one
// of the test's, but that an object is not ready.
func run(t *testing.T, s *store.Store, args ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	cmdutil.BehaviorOnFatal(func(message string, code int) { panic(fmt.Sprintf("%d: %s", code, message)) })
	defer cmdutil.DefaultBehaviorOnFatal()
	c := command(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &complaints})
	c.SetArgs(append(args, "--kubeconfig", s.KubeconfigPath()))
	if err := c.ExecuteContext(testContext(t)); err != nil && err != cmdutil.ErrExit {
		t.Fatalf("arcactl %s: %v\n%s", strings.Join(args, " "), err, &complaints)
	}
	return out.String()
}

// TestDescribeShowsEvents: the events of an object, those of others left out, are
// there, the oldest first.
func TestDescribeShowsEvents(t *testing.T) {
	s, api := startStore(t)
	for _, name := range []string{"web", "quiet"} {
		if err := api.Create(testContext(t), &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	n := &v1alpha1.Network{}
	if err := api.Get(testContext(t), client.ObjectKey{Name: "web"}, n); err != nil {
		t.Fatal(err)
	}
	events, err := eventsclient.NewForConfig(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ago := func(d time.Duration) metav1.MicroTime { return metav1.NewMicroTime(now.Add(-d)) }
	for i, e := range []eventsv1.Event{
		{Reason: "Second", EventTime: ago(20 * time.Minute), Type: corev1.EventTypeNormal, Note: "the second"},
		{Reason: "Third", EventTime: ago(40 * time.Minute), Type: corev1.EventTypeWarning, Note: "the third",
			Series: &eventsv1.EventSeries{Count: 5, LastObservedTime: ago(10 * time.Minute)}},
		{Reason: "First", EventTime: ago(30 * time.Minute), Type: corev1.EventTypeNormal, Note: "the first"},
		{Reason: "Before", EventTime: ago(50 * time.Minute), Type: corev1.EventTypeNormal, Note: "another web's"},
	} {
		e.Name, e.Action, e.ReportingController, e.ReportingInstance = fmt.Sprintf("web.%d", i), "Testing", "arca", "here"
		e.Regarding = corev1.ObjectReference{Kind: "Network", Name: "web", UID: n.UID}
		if e.Reason == "Before" {
			e.Regarding.UID = types.UID("6b1c1f0e-0000-0000-0000-000000000001")
		}
		if _, err := events.Events(metav1.NamespaceDefault).Create(testContext(t), &e, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}

	out := run(t, s, "describe", "network", "web")
	_, shown, _ := strings.Cut(out, "Events:\n")
	want := regexp.MustCompile(`^  Type +Reason +Age +From +Message
  ---- +------ +---- +---- +-------
  Normal +First +30m +arca +the first
  Normal +Second +20m +arca +the second
  Warning +Third +10m \(x5 over 40m\) +arca +the third
$`)
	if !want.MatchString(shown) {
		t.Errorf("describe prints of events:\n%s\nin:\n%s", shown, out)
	}
	if out := run(t, s, "describe", "network", "quiet"); !regexp.MustCompile(`(?m)^Events: +<none>$`).MatchString(out) {
		t.Errorf("describe of an object without events:\n%s", out)
	}
	if out := run(t, s, "describe", "network", "web", "--show-events=false"); strings.Contains(out, "Events:") {
		t.Errorf("describe without events:\n%s", out)
	}
}
