// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// innerWatch follows addresses, routes and rules of the network namespaces that
// the host has veth pairs into, by one socket of the host: the kernel gave each
// of them an id there. A socket within a namespace would keep it alive.
type innerWatch struct {
	file *os.File
	// onChange is called with the namespace's id and the link that something was
	// taken from, or 0 where that concerns all of our links there; onLost when
	// events were lost.
	onChange func(nsid, link int, sibling bool)
	onLost   func()
}

// innerGroups are the multicast groups of route netlink that it joins.
var innerGroups = []int{
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

func newInnerWatch(host netns.NsHandle, onChange func(nsid, link int, sibling bool), onLost func()) (*innerWatch, error) {
	w := &innerWatch{onChange: onChange, onLost: onLost}
	err := inNetns(host, host, func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		w.file = os.NewFile(uintptr(fd), "route netlink of all namespaces")
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1); err != nil {
			return fmt.Errorf("listening to all namespaces: %w", err)
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, linkBuffer) // the default loses events sooner
		for _, g := range innerGroups {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
				return fmt.Errorf("joining group %d: %w", g, err)
			}
		}
		return nil
	})
	if err != nil {
		w.close()
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	return w, nil
}

func (w *innerWatch) close() {
	if w.file != nil {
		_ = w.file.Close()
	}
}

// run hands out changes until ctx ends.
func (w *innerWatch) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.close)
	defer stop()
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	for {
		var n, oobn, flags int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			n, oobn, flags, _, readErr = unix.Recvmsg(int(fd), buf, oob, 0)
			return !errors.Is(readErr, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case errors.Is(readErr, unix.EINTR):
			continue
		case errors.Is(readErr, unix.ENOBUFS), readErr == nil && flags&unix.MSG_TRUNC != 0:
			w.onLost()
			continue
		case readErr != nil:
			return readErr
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			continue // nothing of the kernel's
		}
		nsid := nsidOf(oob[:oobn])
		for _, m := range msgs {
			if link, sibling, ours := innerChange(m); ours {
				w.onChange(nsid, link, sibling)
			}
		}
	}
}

// nsidOf is the id of the namespace that a message is from; the host's own has none.
func nsidOf(oob []byte) int {
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return ownNamespace
	}
	for _, c := range controls {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(c.Data) >= 4 {
			return int(int32(nl.NativeEndian().Uint32(c.Data)))
		}
	}
	return ownNamespace
}

// ownNamespace is the id of a namespace in itself.
const ownNamespace = -1

// innerChange tells whether a message is about something of ours, and of which
// link: something that is gone or was replaced there, or a route that came, which
// only its siblings in the namespace have to know (see sourceRouting).
func innerChange(m syscall.NetlinkMessage) (link int, sibling, ours bool) {
	switch m.Header.Type {
	case unix.RTM_DELADDR:
		if len(m.Data) < unix.SizeofIfAddrmsg {
			return 0, false, false
		}
		return 0, false, true // it also shows that a sibling goes
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(m.Data) < unix.SizeofRtMsg {
			return 0, false, false
		}
		msg := nl.DeserializeRtMsg(m.Data)
		r, oif, err := parseRoute(m.Data)
		switch {
		case err != nil || msg.Type != unix.RTN_UNICAST || msg.Flags&unix.RTM_F_CLONED != 0:
			return 0, false, false
		case m.Header.Type == unix.RTM_DELROUTE, m.Header.Flags&unix.NLM_F_REPLACE != 0:
			return oif, false, r.ours || m.Header.Type == unix.RTM_NEWROUTE
		}
		return oif, true, r.ours && r.Table == 0
	case unix.RTM_DELRULE:
		r, err := parseRule(m.Data)
		return 0, false, err == nil && r.ours
	}
	return 0, false, false
}
