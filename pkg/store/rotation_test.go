// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/store"
)

// Who replaces the certificates of a running store, authority and all, finds
// the new ones at every listener and in the kubeconfig, and the old ones of no use.
func TestCertificatesRotate(t *testing.T) {
	further, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir, other := t.TempDir(), t.TempDir()
	s := startStore(t, store.Options{Dir: dir, Listeners: []net.Listener{further}})
	defer stopStore(t, s)
	stopStore(t, startStore(t, store.Options{Dir: other})) // makes others
	before, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	lists := func(kubeconfig string) error {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return err
		}
		_, err = widgetClient(t, config).List(testContext(t), metav1.ListOptions{})
		return err
	}
	if err := lists(s.KubeconfigPath()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.key", "server.crt", "client.key", "client.crt", "ca.key", "ca.crt"} {
		if err := os.Rename(filepath.Join(other, "pki", name), filepath.Join(dir, "pki", name)); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	for _, address := range []string{before.Host[len("https://"):], further.Addr().String()} {
		eventually(t, "the new certificate at "+address, func() error {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	}
	eventually(t, "the kubeconfig", func() error { return lists(s.KubeconfigPath()) })
	before.CAData = authority
	if _, err := widgetClient(t, before).List(testContext(t), metav1.ListOptions{}); err == nil {
		t.Error("a client of the authority from before is let in")
	}
}

// eventually waits for what is found out by trying only.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
