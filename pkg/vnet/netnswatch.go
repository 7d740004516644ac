// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package vnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netnsWatch tells when the namespace at a path comes, goes or becomes another
// one. A file coming or going is seen by inotify on its folder; that a namespace
// is mounted on the file, which is the second step of `ip netns add`, is seen by
// polling /proc/self/mountinfo, which the kernel signals on each change.
type netnsWatch struct {
	nsDev  uint64
	notify func(path string, reason Reason)

	// watch is inotify_add_watch(2).
	watch   func(fd int, path string, mask uint32) (int, error)
	inotify int
	mounts  int
	wakeup  int

	mu sync.Mutex
	// paths are the paths that ports want.
	paths map[string]*watchedPath
	// folders and wds are the inotify watches; a folder that does not exist is
	// stood in for by its nearest ancestor that does.
	folders map[string]*watchedFolder
	wds     map[int]string
	// awaited are paths whose file changed and is not a namespace yet.
	awaited map[string]struct{}
}

type watchedPath struct {
	id   netnsID // zero: there is none
	refs int
}

type watchedFolder struct {
	paths map[string]struct{}
	wd    int    // -1: none
	on    string // the folder that wd is on
}

func newNetnsWatch(notify func(string, Reason)) (*netnsWatch, error) {
	w := &netnsWatch{
		notify: notify, watch: unix.InotifyAddWatch, inotify: -1, mounts: -1, wakeup: -1,
		paths: map[string]*watchedPath{}, folders: map[string]*watchedFolder{},
		wds: map[int]string{}, awaited: map[string]struct{}{},
	}
	var err error
	if w.nsDev, err = namespaceDevice(); err != nil {
		return nil, err
	}
	if w.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return nil, fmt.Errorf("inotify (limit fs.inotify.max_user_instances): %w", err)
	}
	if w.mounts, err = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		w.close()
		return nil, fmt.Errorf("opening /proc/self/mountinfo: %w", err)
	}
	if w.wakeup, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		w.close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return w, nil
}

func (w *netnsWatch) close() {
	for _, fd := range []int{w.inotify, w.mounts, w.wakeup} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// add watches the path for one more port.
func (w *netnsWatch) add(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.paths[path]
	if p == nil {
		p = &watchedPath{}
		w.paths[path] = p
		dir := filepath.Dir(path)
		f := w.folders[dir]
		if f == nil {
			f = &watchedFolder{paths: map[string]struct{}{}, wd: -1}
			w.folders[dir] = f
			w.arm(dir, f)
		}
		f.paths[path] = struct{}{}
	}
	p.refs++
}

// learn notes what an Update found at the path.
func (w *netnsWatch) learn(path string, id netnsID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.paths[path]; p != nil {
		p.id = id
		if id == (netnsID{}) {
			// It may have come between the Update's look and now.
			w.awaited[path] = struct{}{}
			w.wake()
		}
	}
}

// present says whether there is a namespace at the watched path.
func (w *netnsWatch) present(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.paths[path]
	return p != nil && p.id != netnsID{}
}

// remove ends one port's interest in the path.
func (w *netnsWatch) remove(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.paths[path]
	if p == nil {
		return
	}
	if p.refs--; p.refs > 0 {
		return
	}
	delete(w.paths, path)
	delete(w.awaited, path)
	dir := filepath.Dir(path)
	f := w.folders[dir]
	if delete(f.paths, path); len(f.paths) == 0 {
		delete(w.folders, dir)
		w.disarm(f)
	}
}

// arm watches the folder, or its nearest ancestor that can be watched. Called with
// the lock held.
func (w *netnsWatch) arm(dir string, f *watchedFolder) {
	const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	for on, missing := dir, ""; ; on = filepath.Dir(on) {
		wd, err := w.watch(w.inotify, on, changes)
		if err != nil {
			if on == filepath.Dir(on) {
				return // not even "/": the periodic resync is left
			}
			// One that is there and cannot be watched (fs.inotify.max_user_watches)
			// is not tried again.
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				missing = on
			}
			continue
		}
		if f.wd != wd {
			w.disarm(f)
		}
		f.wd, f.on = wd, on
		w.wds[wd] = on
		if missing != "" {
			if st, err := os.Stat(missing); err == nil && st.IsDir() {
				// It came before the watch did.
				on, missing = filepath.Join(dir, "x"), ""
				continue
			}
		}
		return
	}
}

// disarm drops the folder's watch unless another folder shares it. Called with
// the lock held.
func (w *netnsWatch) disarm(f *watchedFolder) {
	if f.wd < 0 {
		return
	}
	wd := f.wd
	f.wd = -1
	for _, other := range w.folders {
		if other.wd == wd {
			return
		}
	}
	delete(w.wds, wd)
	_, _ = unix.InotifyRmWatch(w.inotify, uint32(wd)) // gone with its folder: fine
}

func (w *netnsWatch) wake() {
	b := [8]byte{1}
	_, _ = unix.Write(w.wakeup, b[:]) // full means awake already
}

// scanEvery is the shortest time between two looks at all paths: a mount does
// not say which path it is about. The look costs about 1 µs a path.
const scanEvery = time.Second

// run watches until ctx ends.
func (w *netnsWatch) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	fds := []unix.PollFd{
		{Fd: int32(w.inotify), Events: unix.POLLIN},
		{Fd: int32(w.mounts), Events: unix.POLLPRI},
		{Fd: int32(w.wakeup), Events: unix.POLLIN},
	}
	var lastScan time.Time
	scan, pause := false, scanEvery
	for {
		timeout := -1
		if scan {
			timeout = max(0, int(time.Until(lastScan.Add(pause))/time.Millisecond)+1)
		}
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			return fmt.Errorf("polling for network namespaces: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		if fds[2].Revents != 0 {
			var b [8]byte
			_, _ = unix.Read(w.wakeup, b[:])
		}
		if fds[0].Revents != 0 {
			if lost := w.readInotify(); lost {
				scan = true
			}
		}
		if fds[1].Revents != 0 {
			scan = true
			w.rearm()
		}
		w.checkAwaited()
		if scan && time.Since(lastScan) >= pause {
			scan = false
			start := time.Now()
			w.checkAll()
			lastScan = time.Now()
			// At most a fiftieth of one core, however many paths there are.
			pause = max(scanEvery, 50*lastScan.Sub(start))
		}
	}
}

// readInotify takes in what changed in the folders; it reports whether events
// were lost.
func (w *netnsWatch) readInotify() (lost bool) {
	var buf [64 << 10]byte
	for {
		n, err := unix.Read(w.inotify, buf[:])
		if err != nil || n < unix.SizeofInotifyEvent {
			return lost
		}
		w.mu.Lock()
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			ev := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			end := unix.SizeofInotifyEvent + int(ev.Len)
			name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"))
			b = b[end:]
			if ev.Mask&unix.IN_Q_OVERFLOW != 0 {
				lost = true
				continue
			}
			w.changed(int(ev.Wd), ev.Mask, name)
		}
		w.mu.Unlock()
	}
}

// changed takes in one event. Called with the lock held.
func (w *netnsWatch) changed(wd int, mask uint32, name string) {
	on, known := w.wds[wd]
	if !known {
		return
	}
	if mask&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
		for dir, f := range w.folders {
			if f.wd == wd {
				w.arm(dir, f)
				w.await(f)
			}
		}
		return
	}
	path := filepath.Join(on, name)
	if _, ours := w.paths[path]; ours {
		w.awaited[path] = struct{}{}
	}
	// A missing folder, or one on the way to it, came.
	for dir, f := range w.folders {
		if f.on != dir && (dir == path || strings.HasPrefix(dir, path+string(os.PathSeparator))) {
			w.arm(dir, f)
			w.await(f)
		}
	}
}

// await has all paths of the folder looked at. Called with the lock held.
func (w *netnsWatch) await(f *watchedFolder) {
	for path := range f.paths {
		w.awaited[path] = struct{}{}
	}
}

// rearm follows folders that something was mounted over.
func (w *netnsWatch) rearm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir, f := range w.folders {
		w.arm(dir, f)
	}
}

func (w *netnsWatch) checkAwaited() {
	w.mu.Lock()
	paths := make([]string, 0, len(w.awaited))
	for p := range w.awaited {
		paths = append(paths, p)
	}
	w.mu.Unlock()
	w.check(paths)
}

func (w *netnsWatch) checkAll() {
	w.mu.Lock()
	paths := make([]string, 0, len(w.paths))
	for p := range w.paths {
		paths = append(paths, p)
	}
	w.mu.Unlock()
	w.check(paths)
}

// check compares what is at the paths with what was.
func (w *netnsWatch) check(paths []string) {
	for _, path := range paths {
		id := statNetns(path, w.nsDev)
		w.mu.Lock()
		p := w.paths[path]
		if p == nil {
			w.mu.Unlock()
			continue
		}
		old := p.id
		p.id = id
		// A file without a namespace: the mount event will tell.
		if _, err := os.Lstat(path); id != (netnsID{}) || err != nil {
			delete(w.awaited, path)
		}
		w.mu.Unlock()
		switch {
		case id == old:
		case id == netnsID{}:
			w.notify(path, NetnsVanished)
		case old == netnsID{}:
			w.notify(path, NetnsAppeared)
		default:
			w.notify(path, NetnsReplaced)
		}
	}
}
