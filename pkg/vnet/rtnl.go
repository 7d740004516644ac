// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// conn is a route netlink socket of one network namespace. The requests are built
// here where one message can do what netlink.Handle needs several for: they all
// queue for the kernel's one rtnl lock.
type conn struct {
	sockets map[int]*nl.SocketHandle
}

// dial opens a conn in ns from a thread that is in home.
func dial(ns, home netns.NsHandle, timeout time.Duration) (*conn, error) {
	s, err := nl.GetNetlinkSocketAt(ns, home, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	tv := unix.NsecToTimeval(int64(timeout))
	if err := errors.Join(s.SetSendTimeout(&tv), s.SetReceiveTimeout(&tv)); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return &conn{sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (c *conn) close() {
	for _, s := range c.sockets {
		s.Close()
	}
}

func (c *conn) request(typ, flags int, data ...nl.NetlinkRequestData) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	req.Sockets = c.sockets
	for _, d := range data {
		req.AddData(d)
	}
	return req
}

func (c *conn) do(req *nl.NetlinkRequest) ([][]byte, error) {
	return req.Execute(unix.NETLINK_ROUTE, 0)
}

// dump runs a dump request again when the kernel's tables changed under it.
func (c *conn) dump(typ int, resType uint16, data nl.NetlinkRequestData) ([][]byte, error) {
	for try := 0; ; try++ {
		msgs, err := c.request(typ, unix.NLM_F_DUMP, data).Execute(unix.NETLINK_ROUTE, resType)
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == 10 {
			return msgs, err
		}
	}
}

// extSkipStats leaves the counters out of the answer (RTEXT_FILTER_SKIP_STATS).
const extSkipStats = 1 << 3

// link is the link of that name, nil if there is none.
func (c *conn) link(name string) (netlink.Link, error) {
	return c.getLink(nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
}

// linkAt is the link of that index, nil if there is none.
func (c *conn) linkAt(index int) (netlink.Link, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	return c.getLink(msg)
}

func (c *conn) getLink(data ...nl.NetlinkRequestData) (netlink.Link, error) {
	data = append(data, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extSkipStats)))
	msgs, err := c.do(c.request(unix.RTM_GETLINK, 0, data...))
	if errors.Is(err, unix.ENODEV) || (err == nil && len(msgs) == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a link: %w", err)
	}
	l, err := netlink.LinkDeserialize(nil, msgs[0])
	if err != nil {
		return nil, fmt.Errorf("reading a link: %w", err)
	}
	return l, nil
}

// links are all links of the namespace.
func (c *conn) links() ([]netlink.Link, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	for try := 0; ; try++ {
		req := c.request(unix.RTM_GETLINK, unix.NLM_F_DUMP, msg, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extSkipStats)))
		msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < 10 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing links: %w", err)
		}
		out := make([]netlink.Link, 0, len(msgs))
		for _, m := range msgs {
			l, err := netlink.LinkDeserialize(nil, m)
			if err != nil {
				return nil, fmt.Errorf("listing links: %w", err)
			}
			out = append(out, l)
		}
		return out, nil
	}
}

// linkSet is what setLink changes of a link; zero values stay as they are.
type linkSet struct {
	up    bool
	alias string
	mac   net.HardwareAddr
	mtu   int
	group uint32
	// noARP keeps the host's stack from answering.
	noARP bool
	// noLinkLocal keeps the kernel from giving the link an IPv6 address by
	// itself, where IPv6 is turned on at it again. It has to be set before the
	// link has a carrier, and is not read back.
	noLinkLocal bool
}

func (s linkSet) empty() bool {
	return !s.up && s.alias == "" && s.mac == nil && s.mtu == 0 && s.group == 0 && !s.noARP && !s.noLinkLocal
}

func (c *conn) setLink(index int, s linkSet) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	if s.up {
		msg.Flags |= unix.IFF_UP
	}
	if s.noARP {
		msg.Flags |= unix.IFF_NOARP
	}
	msg.Change = msg.Flags
	req := c.request(unix.RTM_SETLINK, unix.NLM_F_ACK, msg)
	if s.alias != "" {
		req.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(s.alias)))
	}
	if s.mac != nil {
		req.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, s.mac))
	}
	if s.mtu != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(s.mtu))))
	}
	if s.group != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(s.group)))
	}
	if s.noLinkLocal {
		const addrGenMode, none = 8, 1 // IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE; linux/if_link.h
		req.AddData(nestedAttr(unix.IFLA_AF_SPEC, nestedAttr(unix.AF_INET6, nl.NewRtAttr(addrGenMode, []byte{none}))))
	}
	_, err := c.do(req)
	if s.noLinkLocal && errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv6
		s.noLinkLocal = false
		return c.setLink(index, s)
	}
	if err != nil {
		return fmt.Errorf("changing link %d: %w", index, err)
	}
	return nil
}

func nestedAttr(kind int, child *nl.RtAttr) *nl.RtAttr {
	a := nl.NewRtAttr(kind, nil)
	a.AddChild(child)
	return a
}

// addVeth makes a pair from the namespace of c: the outer end in it, the inner end
// in innerNS and with its final name, so that a name in use fails here and nothing
// is left. The outer end is up from its first moment, for ovs-vswitchd opens a
// device that its rows wait for at once; one that it had to bring up it takes down
// again when it closes it, by name, even if another device has the name by then.
// It is promiscuous too, as ovs-vswitchd makes each of its devices: the change
// would be one more that has it ask for the state of all of them.
// The kernel does not let the inner end be up before the pair is complete.
// The outer end has that index; 0 has the kernel choose one.
// It returns the outer end, which kernels before Linux 6.2 have to be asked for.
func (c *conn) addVeth(outer, inner string, mac net.HardwareAddr, mtu int, innerNS netns.NsHandle, index int) (netlink.Link, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	msg.Flags = unix.IFF_UP | unix.IFF_NOARP | unix.IFF_PROMISC
	msg.Change = msg.Flags
	req := c.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ECHO|unix.NLM_F_ACK, msg,
		nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(outer)),
		nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(LinkGroup)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(inner))
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(innerNS)))
	if len(mac) != 0 {
		peer.AddRtAttr(unix.IFLA_ADDRESS, mac)
	}
	if mtu != 0 {
		req.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu))))
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(mtu)))
	}
	req.AddData(info)
	msgs, err := c.do(req)
	if err != nil {
		return nil, err
	}
	if len(msgs) > 0 {
		if l, err := netlink.LinkDeserialize(nil, msgs[0]); err == nil && l.Attrs().Name == outer && l.Attrs().ParentIndex != 0 {
			return l, nil
		}
	}
	l, err := c.link(outer)
	if err == nil && l == nil {
		err = fmt.Errorf("veth %s went away while it was made", outer)
	}
	return l, err
}

// delLink removes a link; one that is gone already is fine.
func (c *conn) delLink(index int) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	if _, err := c.do(c.request(unix.RTM_DELLINK, unix.NLM_F_ACK, msg)); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing link %d: %w", index, err)
	}
	return nil
}

// connPool keeps a few conns of the host's namespace.
type connPool struct {
	ns      netns.NsHandle
	timeout time.Duration
	mu      sync.Mutex
	idle    []*conn
}

const maxIdleConns = 8

func (p *connPool) get() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c, nil
	}
	return dial(p.ns, p.ns, p.timeout)
}

func (p *connPool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdleConns {
		p.idle = append(p.idle, c)
		return
	}
	c.close()
}

func (p *connPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}
