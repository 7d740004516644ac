// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func TestNothingIsAnonymous(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	config, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	stranger := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, stranger)
	strange, err := clientcmd.BuildConfigFromFlags("", stranger.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		tls    rest.TLSClientConfig
		header http.Header
		want   int
	}{
		"no certificate":                {want: http.StatusUnauthorized},
		"a token":                       {header: http.Header{"Authorization": {"Bearer x"}}, want: http.StatusUnauthorized},
		"names in headers":              {header: http.Header{"X-Remote-User": {"arca-network"}, "X-Remote-Group": {"system:masters"}}, want: http.StatusUnauthorized},
		"another store's certificate":   {tls: strange.TLSClientConfig, want: http.StatusUnauthorized},
		"the certificate in kubeconfig": {tls: config.TLSClientConfig, want: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			if test.tls.CertData != nil {
				pair, err := tls.X509KeyPair(test.tls.CertData, test.tls.KeyData)
				if err != nil {
					t.Fatal(err)
				}
				transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
			}
			for _, path := range []string{"/", "/api", "/api/v1/namespaces/default", "/apis", "/apis/test.arca.dev/v1/widgets",
				"/version", "/readyz", "/metrics", "/openapi/v3"} {
				request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, config.Host+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				for key, values := range test.header {
					request.Header[key] = values
				}
				response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != test.want {
					t.Errorf("%s: status %d, want %d", path, response.StatusCode, test.want)
				}
			}
		})
	}
}

func TestNoPlainHTTP(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	config, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(strings.Replace(config.Host, "https", "http", 1) + "/api")
	if err != nil {
		return
	}
	defer response.Body.Close()
	if response.StatusCode < 400 {
		t.Errorf("plain HTTP: status %d", response.StatusCode)
	}
}

// The fixed answers of the core group cannot be changed.
func TestCoreGroupIsReadOnly(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	defer stopStore(t, s)
	client, err := rest.HTTPClientFor(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		request, err := http.NewRequestWithContext(testContext(t), method, s.Config().Host+"/api/v1/namespaces/default", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d, want 405", method, response.StatusCode)
		}
	}
}

// A watch that is open does not hold up the end of the store, and ends with it.
func TestStopEndsWatches(t *testing.T) {
	s := startStore(t, store.Options{Dir: t.TempDir()})
	outside, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range []*rest.Config{s.Config(), outside} {
		watch, err := widgetClient(t, config).Watch(context.Background(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()
		defer func() {
			select {
			case _, open := <-watch.ResultChan():
				if open {
					t.Error("an event instead of the end")
				}
			case <-time.After(5 * time.Second):
				t.Error("the watch did not end")
			}
		}()
	}
	// Longer than a machine stands still, shorter than the API server would let a
	// request run (a minute).
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
