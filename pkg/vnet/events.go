// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/internal/ovsdbconn"
	ovsmodel "github.com/vas-solutus/arca-network/pkg/vnet/ovsdb"
)

// watcher turns changes of the Open_vSwitch database into events.
type watcher struct {
	emit   func(Event)
	bridge string

	mu     sync.Mutex
	gone   map[string]bool // interfaces that we are removing, by UUID
	config chan struct{}   // closed at the next change of row Open_vSwitch
}

// configured returns a channel that is closed when ovs-vswitchd says that it
// has come to a later configuration.
func (w *watcher) configured() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.config == nil {
		w.config = make(chan struct{})
	}
	return w.config
}

func newWatcher(emit func(Event), bridge string) *watcher {
	return &watcher{emit: emit, bridge: bridge, gone: map[string]bool{}}
}

func (w *watcher) removing(interfaces ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range interfaces {
		w.gone[i] = true
	}
}

// OnAdd: rows of ours are added by us alone.
func (w *watcher) OnAdd(string, model.Model) {}

// OnDelete reports an interface of ours, or the bridge, that somebody else removed.
func (w *watcher) OnDelete(table string, m model.Model) {
	switch table {
	case ovsmodel.InterfaceTable:
		id := ovsdbconn.Column(m, "_uuid").String()
		w.mu.Lock()
		ours := w.gone[id]
		delete(w.gone, id)
		w.mu.Unlock()
		if o := ownerOf(m); o.UID != "" && !ours {
			w.emit(Event{Owner: o, Reason: "its interface was removed"})
		}
	case ovsmodel.BridgeTable:
		if ovsdbconn.Column(m, "name").String() == w.bridge {
			w.emit(Event{All: true, Reason: "the bridge was removed"})
		}
	}
}

// OnUpdate reports what ovs-vswitchd and ovn-controller say of an interface,
// and edits of what is ours.
func (w *watcher) OnUpdate(table string, before, now model.Model) {
	if table == ovsmodel.OpenvSwitchTable {
		w.mu.Lock()
		if w.config != nil {
			close(w.config)
			w.config = nil
		}
		w.mu.Unlock()
	}
	if table != ovsmodel.InterfaceTable {
		return
	}
	o := ownerOf(now)
	if o.UID == "" {
		o = ownerOf(before) // the keys themselves may have been taken away
	}
	if o.UID == "" {
		return
	}
	if reason := changed(before, now); reason != "" {
		w.emit(Event{Owner: o, Reason: reason})
	}
}

func changed(before, now model.Model) string {
	old, ids := ovsdbconn.Map(before, "external_ids"), ovsdbconn.Map(now, "external_ids")
	if old["ovn-installed"] != ids["ovn-installed"] {
		return "ovn-installed has changed"
	}
	for _, key := range []string{keyOwnerKind, keyOwnerName, keyOwnerUID, keyIfaceID, keyMAC, keyAddresses} {
		if old[key] != ids[key] {
			return key + " has changed"
		}
	}
	for _, column := range []string{"ofport", "error", "type", "mac", "mtu_request"} {
		if text(before, column) != text(now, column) {
			return column + " has changed"
		}
	}
	return ""
}

// text writes an optional value for comparison.
func text(m model.Model, column string) string {
	switch v := ovsdbconn.Column(m, column).Interface().(type) {
	case *int:
		if v != nil {
			return fmt.Sprint(*v)
		}
	case *string:
		if v != nil {
			return *v
		}
	case string:
		return v
	}
	return ""
}

// watchLinks reports links of the host that went, and awaited ones that came.
func (m *Manager) watchLinks(ctx context.Context, wg *sync.WaitGroup) error {
	var err error
	if m.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	// Deletion answers only when the kernel has waited for readers; ten
	// thousand links take their time.
	if err := m.host.SetSocketTimeout(m.options.Timeout); err != nil {
		return err
	}
	updates, done := make(chan netlink.LinkUpdate, 1024), make(chan struct{})
	subscribe := func() error {
		return netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
			ErrorCallback:          func(error) {},
			ReceiveBufferSize:      4 << 20,
			ReceiveBufferForceSize: true,
		})
	}
	if err := subscribe(); err != nil {
		return fmt.Errorf("subscribing to interface changes: %w", err)
	}
	wg.Go(func() {
		defer func() { close(done); m.host.Close() }()
		for {
			select {
			case <-ctx.Done():
				return
			case u, ok := <-updates:
				if !ok { // the socket overflowed: what was missed is looked for
					m.emit(Event{All: true, Reason: "interface changes were missed"})
					pause(ctx, minRetry)
					updates = make(chan netlink.LinkUpdate, 1024)
					if err := subscribe(); err != nil {
						m.options.Log.Error(err, "Subscribing to interface changes")
						return
					}
					continue
				}
				m.linkChanged(u)
			}
		}
	})
	return nil
}

func (m *Manager) linkChanged(u netlink.LinkUpdate) {
	m.mu.Lock()
	owner, known := m.linkOwners[u.Attrs().Name]
	m.mu.Unlock()
	if !known {
		return
	}
	_, marked := parseMark(u.Attrs().Alias)
	switch {
	case u.Header.Type == unix.RTM_DELLINK:
		m.emit(Event{Owner: owner, Reason: "its interface went away"})
	case !marked && !strings.HasPrefix(u.Attrs().Name, NamePrefix) && u.IfInfomsg.Change == ^uint32(0):
		// A new interface that is not of our making: an External or Internal one.
		m.emit(Event{Owner: owner, Reason: "its interface appeared"})
	}
}

// await remembers that a port waits for its namespace.
func (m *Manager) await(p Port) { m.settled(p, 0) }

// settled remembers the namespace that a port is in.
func (m *Manager) settled(p Port, inode uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.ports[p.Owner.UID]; t != nil {
		t.inode = inode
	}
}

// Namespaces are looked at when a mount changes, for that is how they get a
// path (ip-netns(8)), at most so often, and by the clock for those under /proc.
const (
	namespaceSettle = 20 * time.Millisecond
	namespacePoll   = 2 * time.Second
	// everyPoll is at which poll all paths are looked at, and not only awaited
	// ones: a namespace may go while its port is being made. 10,000 take 10 ms.
	everyPoll = 4
)

// watchNamespaces reports namespaces that appeared, went or were replaced at
// the path of a port.
func (m *Manager) watchNamespaces(ctx context.Context, wg *sync.WaitGroup) error {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = mounts.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	wg.Go(func() {
		defer func() { stop(); _ = mounts.Close(); _ = unix.Close(wake) }()
		fds := []unix.PollFd{{Fd: int32(mounts.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake), Events: unix.POLLIN}}
		quiet := 0
		for ctx.Err() == nil {
			n, err := unix.Poll(fds, int(namespacePoll.Milliseconds()))
			if ctx.Err() != nil || (err != nil && err != unix.EINTR) {
				return
			}
			if n > 0 {
				pause(ctx, namespaceSettle) // mounts come in bursts
			}
			quiet++
			all := n > 0 || quiet%everyPoll == 0
			m.lookAtNamespaces(!all)
		}
	})
	return nil
}

// lookAtNamespaces compares what is at the paths of ports with what they are in.
func (m *Manager) lookAtNamespaces(awaitedOnly bool) {
	m.mu.Lock()
	var look []tracked
	for _, t := range m.ports {
		if t.netns != "" && (!awaitedOnly || t.inode == 0) {
			look = append(look, *t)
		}
	}
	m.mu.Unlock()
	for _, t := range look {
		var stat unix.Stat_t
		inode := uint64(0)
		if unix.Stat(t.netns, &stat) == nil && isNamespace(t.netns) {
			inode = stat.Ino
		}
		if inode != t.inode {
			m.emit(Event{Owner: t.owner, Reason: "its network namespace has changed"})
		}
	}
}

// isNamespace tells whether a path is on the file system of namespaces. A
// path that ip-netns has made but not mounted yet is not.
func isNamespace(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && (fs.Type == unix.NSFS_MAGIC || fs.Type == unix.PROC_SUPER_MAGIC)
}
