// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nettest

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Server answers every connection or datagram with its name and the address
// that it came from.
type Server struct {
	Port  int
	close func() error
}

// Close ends the server.
func (s *Server) Close() { _ = s.close() }

// Serve starts a server; network is tcp or udp, of both families where addr is
// empty. Port 0 chooses one. It ends with the test.
func (n *Namespace) Serve(network, addr string, port int, name string) *Server {
	n.t.Helper()
	s, err := n.Listen(network, addr, port, name)
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	n.t.Cleanup(s.Close)
	return s
}

// Listen starts a server that the caller has to close.
func (n *Namespace) Listen(network, addr string, port int, name string) (*Server, error) {
	s := &Server{}
	err := n.Do(func() error {
		at := net.JoinHostPort(addr, strconv.Itoa(port))
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, at)
			if err != nil {
				return err
			}
			s.close, s.Port = c.Close, c.LocalAddr().(*net.UDPAddr).Port
			go answerDatagrams(c, name)
			return nil
		}
		l, err := net.Listen(network, at)
		if err != nil {
			return err
		}
		s.close, s.Port = l.Close, l.Addr().(*net.TCPAddr).Port
		go answerConnections(l, name)
		return nil
	})
	return s, err
}

func answerDatagrams(c net.PacketConn, name string) {
	b := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(name+" "+host(from)), from)
	}
}

func answerConnections(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			b := make([]byte, 1)
			for { // one answer for each byte, so that a connection can be kept
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := c.Write([]byte(name + " " + host(c.RemoteAddr()))); err != nil {
					return
				}
			}
		}()
	}
}

func host(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return ap.Addr().Unmap().String()
}

// Client is a connection, or a socket for datagrams, that asks a server.
type Client struct {
	net.Conn
}

// Dial connects from the namespace, and from an address where from is not empty.
func (n *Namespace) Dial(network, from, to string, port int, timeout time.Duration) (*Client, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		d := net.Dialer{Timeout: timeout}
		if from != "" {
			switch network {
			case "udp":
				d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
			default:
				d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
			}
		}
		c, err = d.Dial(network, net.JoinHostPort(to, strconv.Itoa(port)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Ask sends a byte and returns the answer.
func (c *Client) Ask(timeout time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return "", err
	}
	b := make([]byte, 128)
	k, err := c.Read(b)
	return string(b[:k]), err
}

// Ask connects, asks once and disconnects. The answer is the server's name and
// the address that the server sees.
func (n *Namespace) Ask(network, from, to string, port int, timeout time.Duration) (string, error) {
	c, err := n.Dial(network, from, to, port, timeout)
	if err != nil {
		return "", err
	}
	defer func() {
		if t, ok := c.Conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // no socket that lingers in a namespace which is to go
		}
		_ = c.Close()
	}()
	return c.Ask(timeout)
}

// Reaches fails the test unless a server answers with want: its name and the
// address that it sees. One answer that is lost is asked for again.
func (n *Namespace) Reaches(network, from, to string, port int, want string) {
	n.t.Helper()
	var (
		got string
		err error
	)
	for range 3 {
		if got, err = n.Ask(network, from, to, port, 2*time.Second); err == nil {
			break
		}
	}
	if err != nil || got != want {
		n.t.Errorf("%s %s → %s: got %q, %v; want %q", n.Name, network, net.JoinHostPort(to, strconv.Itoa(port)), got, err, want)
	}
}

// Blocked fails the test if a server answers.
func (n *Namespace) Blocked(network, from, to string, port int) {
	n.t.Helper()
	if got, err := n.Ask(network, from, to, port, 400*time.Millisecond); err == nil {
		n.t.Errorf("%s %s → %s: answered %q, want no answer", n.Name, network, net.JoinHostPort(to, fmt.Sprint(port)), got)
	}
}
