// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func TestObjectsSurviveRestart(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	s := startStore(t, store.Options{Dir: dir})
	t.Logf("first start took %v", time.Since(began))
	createWidgets(t, widgetClient(t, s.Config()), 0, 10)
	if err := s.Check(testContext(t)); err != nil {
		t.Errorf("Check: %v", err)
	}
	kubeconfig, err := os.ReadFile(s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	stopStore(t, s)
	t.Logf("stop took %v", time.Since(began))
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := s.Check(testContext(t)); err == nil {
		t.Error("Check of a stopped store succeeded")
	}

	began = time.Now()
	s = startStore(t, store.Options{Dir: dir})
	t.Logf("second start took %v", time.Since(began))
	defer stopStore(t, s)
	if n := countWidgets(t, widgetClient(t, s.Config())); n != 10 {
		t.Errorf("%d widgets after a restart, want 10", n)
	}
	again, err := os.ReadFile(s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(kubeconfig) {
		t.Error("the kubeconfig changed with a restart")
	}
}

func TestValidationIsServed(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	_, err := widgetClient(t, s.Config()).Create(testContext(t), widget("big", 1000), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "size must be below 100") {
		t.Errorf("creating a widget that breaks a rule: %v, want the rule's message", err)
	}
}

func TestStateFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	for name, want := range map[string]os.FileMode{
		"": 0o700, "pki": 0o700, "pki/ca.key": 0o600, "pki/client.key": 0o600, "kubeconfig": 0o600, "lock": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %q is %o, want %o", name, got, want)
		}
	}
}

func TestOneStorePerFolder(t *testing.T) {
	dir := t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	_, err := store.Start(testContext(t), store.Options{Dir: dir})
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second Start: %v, want ErrLocked", err)
	}
	for _, want := range []string{dir, strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	if err := s.Check(testContext(t)); err != nil {
		t.Errorf("the first store after the second was refused: %v", err)
	}
	stopStore(t, s)
	stopStore(t, startStore(t, store.Options{Dir: dir}))
}

func TestTakenPortIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	config, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	stopStore(t, s)
	taken, err := net.Listen("tcp", strings.TrimPrefix(config.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	s = startStore(t, store.Options{Dir: dir})
	defer stopStore(t, s)
	moved, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	if moved.Host == config.Host {
		t.Fatalf("the kubeconfig still names the taken port %s", config.Host)
	}
	countWidgets(t, widgetClient(t, moved))
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]store.Options{
		"state folder":   {},
		"must not":       {Dir: "/tmp/a?b"},
		"loopback":       {Dir: t.TempDir(), Listen: "0.0.0.0:0"},
		"missing port":   {Dir: t.TempDir(), Listen: "127.0.0.1"},
		"loopback IP":    {Dir: t.TempDir(), Listen: ":9999"},
		"without a name": {Dir: t.TempDir(), CRDs: append(store.Options{}.CRDs, nil)},
	} {
		if _, err := store.Start(testContext(t), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Start(%+v): %v, want an error with %q", o, err, name)
		}
	}
}

func TestDefinitionIsUpgraded(t *testing.T) {
	dir := t.TempDir()
	s := startStore(t, store.Options{Dir: dir})
	createWidgets(t, widgetClient(t, s.Config()), 0, 1)
	stopStore(t, s)

	changed := widgetCRD()
	schema := changed.Spec.Versions[0].Schema.OpenAPIV3Schema
	spec := schema.Properties["spec"]
	spec.XValidations[0].Rule = "!has(self.size) || self.size < 10"
	spec.XValidations[0].Message = "size must be below 10"
	delete(spec.Properties, "color")
	schema.Properties["spec"] = spec
	s = startWith(t, store.Options{Dir: dir}, changed)
	defer stopStore(t, s)
	client := widgetClient(t, s.Config())
	if _, err := client.Create(testContext(t), widget("w-50", 50), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("the new rule is not in force at once: %v", err)
	}
	painted := widget("painted", 5)
	painted.Object["spec"].(map[string]any)["color"] = "red"
	got, err := client.Create(testContext(t), painted, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, kept := got.Object["spec"].(map[string]any)["color"]; kept {
		t.Error("a field that the new definition lacks was kept")
	}
	if n := countWidgets(t, client); n != 2 {
		t.Errorf("%d widgets, want the old one and the new one", n)
	}
}
