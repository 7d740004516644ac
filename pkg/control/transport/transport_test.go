// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return c
}

// serve answers each line with the same line until the test ends.
func serve(t *testing.T, l net.Listener) {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

// speaks tells whether somebody answers at a target.
func speaks(t *testing.T, target string, config *tls.Config) error {
	t.Helper()
	conn, err := transport.Dial(ctx(t), target, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintln(conn, "hello"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("answered %q", line)
	}
	return err
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "s")
	target := "unix://" + path
	l, err := transport.Listen(ctx(t), target, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, scheme := range []string{"unix", "vfkit", "krunkit"} {
		if err := speaks(t, scheme+"://"+path, nil); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	if _, err := transport.Listen(ctx(t), target, transport.Options{}); err == nil {
		t.Error("a second listener took the socket over")
	}
	if err := speaks(t, target, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// What a killed process has left is replaced, by one of many that try, and what
// is no socket is not touched.
func TestUnixStale(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale := func() {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
	}
	stale()
	var wg sync.WaitGroup
	won := make(chan net.Listener, 32)
	for range cap(won) {
		wg.Go(func() {
			if l, err := transport.Listen(ctx(t), "unix://"+path, transport.Options{}); err == nil {
				won <- l
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d have the socket", len(won))
	}
	l := <-won
	serve(t, l)
	if err := speaks(t, "unix://"+path, nil); err != nil {
		t.Error(err)
	}
	if err := transport.RemoveStale(path); err == nil {
		t.Error("a socket in use was removed")
	}
	_ = l.Close()

	// One that listens, but has no lock as we have it, is somebody's too.
	foreign, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Listen(ctx(t), "unix://"+path, transport.Options{}); err == nil {
		t.Error("the socket of another program was taken")
	}
	_ = foreign.Close()

	stale()
	if err := transport.RemoveStale(path); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Listen(ctx(t), "unix://"+path, transport.Options{}); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "data" {
		t.Errorf("the file: %q, %v", raw, err)
	}
}

func TestInherited(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(f.Fd())) // Listen closes the one that it is given
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	got, err := transport.Listen(ctx(t), fmt.Sprintf("fd://%d", fd), transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, got)
	if err := speaks(t, "unix://"+l.Addr().String(), nil); err != nil {
		t.Error(err)
	}

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	if f, err = tcp.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	if fd, err = unix.Dup(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := transport.Listen(ctx(t), fmt.Sprintf("fd://%d", fd), transport.Options{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an inherited TCP socket without TLS: %v", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
	if _, err := transport.Listen(ctx(t), fmt.Sprintf("fd://%d", pair[0]), transport.Options{}); err == nil || !strings.Contains(err.Error(), "listens") {
		t.Errorf("a socket that does not listen: %v", err)
	}
	if _, err := unix.Write(pair[0], []byte("x")); err != nil {
		t.Errorf("a socket that was refused is not left open: %v", err)
	}
	if _, err := transport.Listen(ctx(t), "fd://987", transport.Options{}); err == nil {
		t.Error("a file descriptor that is not open was taken")
	}
}

// A VMM's socket: what it answers is read to its newline and no further.
func TestFirecracker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	answer := make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			if a := <-answer; a != "" && line == "CONNECT 9999\n" {
				_, _ = io.WriteString(conn, a)
			}
			if len(answer) == 0 {
				t.Cleanup(func() { _ = conn.Close() })
			}
		}
	}()
	target := "firecracker://" + path + ":9999"
	answer <- "OK 1073741824\nfirst"
	conn, err := transport.Dial(ctx(t), target, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(conn, first); err != nil || string(first) != "first" {
		t.Errorf("after the answer: %q, %v", first, err)
	}
	_ = conn.Close()
	answer <- "OK 7\n"
	if conn, err = transport.Dial(ctx(t), "cloud-hypervisor://"+path+":9999", nil); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	for _, a := range []string{"NO\n", "OK\n", "OK \n", "OK x\n", "OK -1\n", "\n", strings.Repeat("O", 1000)} {
		answer <- a
		if _, err := transport.Dial(ctx(t), target, nil); err == nil {
			t.Errorf("%.10q was taken for success", a)
		}
	}
	answer <- "" // says nothing
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := transport.Dial(short, target, nil); err == nil {
		t.Error("a VMM that says nothing was taken for success")
	}
}

func certificates(t *testing.T, dir string) (server, client *tls.Config) {
	t.Helper()
	if err := transport.MakeCertificates(transport.CertificateOptions{Dir: dir, Hosts: []string{"arca.example", "192.0.2.1"}}); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	server, err := transport.ServerTLS(serverFiles(dir), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if client, err = transport.ClientTLS(transport.Files{Cert: file("client.crt"), Key: file("client.key"), CA: file("ca.crt")}); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestTCP(t *testing.T) {
	server, client := certificates(t, t.TempDir())
	_, stranger := certificates(t, t.TempDir())
	l, err := transport.Listen(ctx(t), "tcp://127.0.0.1:0", transport.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	target := "tcp://" + l.Addr().String()
	if err := speaks(t, target, client); err != nil {
		t.Error(err)
	}
	change := func(from *tls.Config, f func(*tls.Config)) *tls.Config {
		c := from.Clone()
		f(c)
		return c
	}
	for name, config := range map[string]*tls.Config{
		"without a certificate":          change(client, func(c *tls.Config) { c.Certificates = nil }),
		"with another authority's":       change(stranger, func(c *tls.Config) { c.RootCAs = client.RootCAs }),
		"a server of another authority":  stranger,
		"TLS 1.2":                        change(client, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }),
		"a name the server does not own": change(client, func(c *tls.Config) { c.ServerName = "other.example" }),
		"the server's own certificate":   change(client, func(c *tls.Config) { c.Certificates = server.Certificates }),
		"no TLS configuration":           nil,
	} {
		if err := speaks(t, target, config); err == nil {
			t.Errorf("%s: it was let in", name)
		}
	}
	for _, name := range []string{"localhost", "arca.example", "192.0.2.1"} {
		if err := speaks(t, target, change(client, func(c *tls.Config) { c.ServerName = name })); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	for name, config := range map[string]*tls.Config{
		"nothing":            nil,
		"no client required": change(server, func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }),
		"TLS 1.2":            change(server, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }),
	} {
		if _, err := transport.Listen(ctx(t), "tcp://127.0.0.1:0", transport.Options{TLS: config}); err == nil {
			t.Errorf("it listens over TCP with %s", name)
		}
	}
}

func TestCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	certificates(t, dir)
	was := map[string]string{}
	for _, f := range []string{"ca", "server", "client"} {
		info, err := os.Stat(filepath.Join(dir, f+".key"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s.key: %v, %v", f, info.Mode(), err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, f+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		was[f] = string(raw)
	}
	if err := transport.MakeCertificates(transport.CertificateOptions{Dir: dir}); err == nil {
		t.Error("files that are there were replaced")
	}
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := transport.MakeCertificates(transport.CertificateOptions{Dir: dir}); err == nil {
		t.Error("one file that is missing had all replaced")
	}
	if err := transport.MakeCertificates(transport.CertificateOptions{Dir: dir, Force: true}); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "server.crt")); string(raw) == was["server"] {
		t.Error("force has replaced nothing")
	}
	for _, files := range []transport.Files{{}, {Cert: "a"}, {Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}} {
		if _, err := transport.ServerTLS(files, logr.Discard()); err == nil {
			t.Errorf("%v is enough", files)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, a := range []string{
		"", "/run/s", "unix://run/s", "unix://", "unix:///" + strings.Repeat("x", 107), "unix:///a%00b", "tcp://:9999", "tcp://h", "tcp://h:99999",
		"vsock://9999", "vsock://x:1", "vsock://:x", "vsock://:-1", "fd://", "fd://2", "fd://x", "http://h:1", "firecracker:///s", "firecracker:///s:x",
		"firecracker:///s:1", "cloud-hypervisor:///s:1", "cloud-hypervisor:///s",
		"vsock://:0", "vsock://:4294967295", "vsock://4294967295:1",
	} {
		if l, err := transport.Listen(ctx(t), a, transport.Options{}); err == nil {
			_ = l.Close()
			t.Errorf("%q was listened on", a)
		}
	}
	for _, a := range []string{"fd://3", "", "unix:///nowhere/at/all", "vsock://:1", "firecracker:///s:0", "firecracker:///s:4294967295"} {
		if conn, err := transport.Dial(ctx(t), a, nil); err == nil {
			_ = conn.Close()
			t.Errorf("%q was dialled", a)
		}
	}
}
