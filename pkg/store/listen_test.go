// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/store"
)

// exhausted is a listener in a process without a free file descriptor, for a few tries.
type exhausted struct {
	net.Listener
	left atomic.Int32
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "unix", Addr: l.Addr(), Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// A further address serves what the one on the loopback does, to the same
// clients only, and does not end because it could not accept for a while.
func TestFurtherListener(t *testing.T) {
	address := "unix://" + filepath.Join(t.TempDir(), "api.sock")
	l, err := transport.Listen(testContext(t), address, transport.Options{Inner: true})
	if err != nil {
		t.Fatal(err)
	}
	poor := &exhausted{Listener: l}
	poor.left.Store(3)
	s := startStore(t, store.Options{
		Dir: t.TempDir(), Listeners: []net.Listener{poor},
		CRDs: []*apiextensionsv1.CustomResourceDefinition{widgetCRD()},
	})
	defer stopStore(t, s)

	config, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	overUnix := rest.CopyConfig(config)
	var dialled atomic.Int32
	overUnix.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialled.Add(1)
		return transport.Dial(ctx, address, nil)
	}
	stranger := rest.CopyConfig(overUnix)
	stranger.CertData, stranger.KeyData = nil, nil

	if _, err := dynamic.NewForConfigOrDie(overUnix).Resource(widgets).Create(testContext(t), widget("w", 1), metav1.CreateOptions{}); err != nil {
		t.Fatalf("over the unix socket: %v", err)
	}
	if dialled.Load() == 0 {
		t.Error("the client did not use the unix socket")
	}
	if left := poor.left.Load(); left >= 0 {
		t.Errorf("accepting has failed less often than it was to, by %d", left+1)
	}
	if _, err := dynamic.NewForConfigOrDie(config).Resource(widgets).Get(testContext(t), "w", metav1.GetOptions{}); err != nil {
		t.Errorf("over the loopback: %v", err)
	}
	_, err = dynamic.NewForConfigOrDie(stranger).Resource(widgets).Get(testContext(t), "w", metav1.GetOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("over the unix socket without a certificate: %v", err)
	}
}
