// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

func serverFiles(dir string) transport.Files {
	return transport.Files{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key"), CA: filepath.Join(dir, "ca.crt")}
}

// Certificates that are replaced are in use for the next connection, whoever
// had those from before is out, and what is no good changes nothing.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	_, before := certificates(t, dir)
	var said []string
	config, err := transport.ServerTLS(serverFiles(dir), funcr.New(func(_, args string) { said = append(said, args) }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.Listen(ctx(t), "tcp://127.0.0.1:0", transport.Options{TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	target := "tcp://" + l.Addr().String()
	if err := speaks(t, target, before); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(f transport.Files) error{
		"no certificate":         func(f transport.Files) error { return os.Remove(f.Cert) },
		"an empty certificate":   func(f transport.Files) error { return os.WriteFile(f.Cert, nil, 0o600) },
		"the key of another":     func(f transport.Files) error { return os.Rename(filepath.Join(dir, "client.key"), f.Key) },
		"an authority of no use": func(f transport.Files) error { return os.WriteFile(f.CA, []byte("x"), 0o600) },
	} {
		restore := keep(t, dir)
		if err := spoil(serverFiles(dir)); err != nil {
			t.Fatal(err)
		}
		said = nil
		for range 3 {
			if err := speaks(t, target, before); err != nil {
				t.Errorf("%s: those from before are not in use: %v", name, err)
			}
		}
		if len(said) != 1 {
			t.Errorf("%s: it was said %d times: %q", name, len(said), said)
		}
		restore()
		if err := speaks(t, target, before); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}

	if err := transport.MakeCertificates(transport.CertificateOptions{Dir: dir, Force: true}); err != nil {
		t.Fatal(err)
	}
	after, err := transport.ClientTLS(transport.Files{Cert: filepath.Join(dir, "client.crt"), Key: filepath.Join(dir, "client.key"), CA: filepath.Join(dir, "ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	if err := speaks(t, target, after); err != nil {
		t.Errorf("with the new certificates: %v", err)
	}
	old := before.Clone()
	old.RootCAs = after.RootCAs
	if err := speaks(t, target, old); err == nil {
		t.Error("a client of the authority from before was let in")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// keep returns what puts the files of a folder back as they are.
func keep(t *testing.T, dir string) (restore func()) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(copied))); err != nil {
			t.Fatal(err)
		}
	}
}

// An error names the file that is at fault, and what is wrong with it.
func TestFileAtFault(t *testing.T) {
	good := t.TempDir()
	certificates(t, good)
	for _, c := range []struct {
		change      func(f *transport.Files)
		field, says string
	}{
		{func(f *transport.Files) { f.Cert = "" }, "Cert", "must be given"},
		{func(f *transport.Files) { f.Key = "" }, "Key", "must be given"},
		{func(f *transport.Files) { f.CA = "" }, "CA", "must be given"},
		{func(f *transport.Files) { f.Cert = "/nowhere" }, "Cert", "no such file"},
		{func(f *transport.Files) { f.Key = "/nowhere" }, "Key", "no such file"},
		{func(f *transport.Files) { f.CA = "/nowhere" }, "CA", "no such file"},
		{func(f *transport.Files) { f.Cert = f.Key }, "Cert", "no certificate"},
		{func(f *transport.Files) { f.Key = f.Cert }, "Key", "is not the key of"},
		{func(f *transport.Files) { f.Key = filepath.Join(good, "client.key") }, "Key", "is not the key of"},
		{func(f *transport.Files) { f.CA = f.Key }, "CA", "no certificate"},
	} {
		f := serverFiles(good)
		c.change(&f)
		name := map[string]string{"Cert": f.Cert, "Key": f.Key, "CA": f.CA}[c.field]
		_, err := transport.ServerTLS(f, logr.Discard())
		var at *transport.FileError
		if !errors.As(err, &at) || at.Field != c.field || at.Name != name || !strings.Contains(at.Reason(), c.says) {
			t.Errorf("%+v: got %v, want one about %s %q that says %q", f, err, c.field, name, c.says)
		}
	}
}
