// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestFlagsThatExclude: flags of which one would be ignored are refused, by their names.
func TestFlagsThatExclude(t *testing.T) {
	for _, args := range [][]string{
		{"--api-listen", "unix:///run/api.sock", "--kubeconfig", "/etc/kubeconfig"},
		{"--datastore-endpoint", "http://127.0.0.1:2379", "--kubeconfig", "/etc/kubeconfig"},
	} {
		c := runCommand()
		c.SetArgs(append(args, "--workers", "0")) // never run
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(testContext(t))
		for _, flag := range []string{strings.TrimPrefix(args[0], "--"), strings.TrimPrefix(args[2], "--")} {
			if err == nil || !strings.Contains(err.Error(), flag) {
				t.Errorf("%q: %v, want an error that names %s", args, err, flag)
			}
		}
	}
}

// TestDiskInUse: the disk of the state folder counts where anything of ours is on it.
func TestDiskInUse(t *testing.T) {
	for _, c := range []struct {
		o    options
		used bool
	}{
		{options{}, true},
		{options{kubeconfig: "k"}, true}, // the daemons' databases
		{options{nb: "unix:/nb", ovsSocket: "unix:/ovs"}, true},
		{options{datastore: "http://etcd", nb: "unix:/nb", ovsSocket: "unix:/ovs"}, true}, // certificates
		{options{kubeconfig: "k", nb: "unix:/nb", ovsSocket: "unix:/ovs"}, false},
	} {
		if used := c.o.diskCheck().Measure != nil; used != c.used {
			t.Errorf("%+v: the disk is looked at: %v, want %v", c.o, used, c.used)
		}
	}
}

// TestCertificateOnAllAddresses: where the API is on all addresses, its certificate is
// good for those that the machine has, and for its name.
func TestCertificateOnAllAddresses(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"localhost", "127.0.0.1", name}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip := a.(*net.IPNet).IP; ip.IsGlobalUnicast() {
			want = append(want, ip.String())
		}
	}
	for _, address := range []string{"tcp://0.0.0.0:0", "tcp://[::]:0"} {
		o := &options{stateDir: t.TempDir(), apiListen: []string{address}}
		_, api, err := o.startAPI(testContext(t), func() {}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		if err := api.Stop(testContext(t)); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(o.stateDir, "pki", "server.crt"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range want {
			if err := cert.VerifyHostname(host); err != nil {
				t.Errorf("--api-listen %s: %v", address, err)
			}
		}
	}
	// One address is what was chosen: no other is named.
	o := &options{apiListen: []string{"tcp://127.0.0.1:0"}}
	_, listeners, hosts, err := o.listenAPI(testContext(t), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	if len(hosts) != 1 || hosts[0] != "127.0.0.1" {
		t.Errorf("hosts of one address: %v", hosts)
	}
}

// TestAddressesAreChecked: an address that cannot be listened on is refused by its flag
// before anything is started.
func TestAddressesAreChecked(t *testing.T) {
	for _, c := range []struct {
		flag  string
		wrong string
		right []string
	}{
		{"--listen", "vfkit:///run/s", []string{"unix:///run/s", "vsock://:9999", "fd://3"}},
		{"--listen", "/run/s", nil},
		{"--api-listen", "firecracker:///run/s:1", []string{"127.0.0.1:6443", "unix:///run/s", "tcp://0.0.0.0:6443"}},
		{"--api-listen", "unix://run/s", nil},
	} {
		for i, address := range append([]string{c.wrong}, c.right...) {
			o := &options{role: "all", workers: 1, stateDir: t.TempDir(), runDir: t.TempDir()}
			if c.flag == "--listen" {
				o.listen = []string{address}
			} else {
				o.apiListen = []string{address}
			}
			err := o.validate()
			if i > 0 && err != nil {
				t.Errorf("%s %s: %v", c.flag, address, err)
			}
			if i == 0 && (err == nil || !strings.Contains(err.Error(), c.flag) || !strings.Contains(err.Error(), address)) {
				t.Errorf("%s %s: %v, want an error that names both", c.flag, address, err)
			}
		}
	}
}
