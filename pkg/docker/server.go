// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	controlpb "github.com/vas-solutus/arca-network/api/control"
)

// Options is what the server works with.
type Options struct {
	// Control is the control API.
	Control controlpb.NetworkControlClient
	// Engine has the containers. Nil: there are none.
	Engine Engine
	// Rest serves what is not of the Network API. Nil: page not found.
	Rest http.Handler
	// InFront stands in front of the server, and hands on to it what it does not
	// serve itself. Nil: nothing does.
	InFront func(server http.Handler) http.Handler
	// Version is this program's.
	Version string
	Log     logr.Logger
}

const (
	// callTimeout bounds what a request may take, but for /events.
	callTimeout       = 2 * time.Minute
	cleanupTimeout    = 10 * time.Second
	readHeaderTimeout = time.Minute
	stopTimeout       = 5 * time.Second
	// firstTimeout is how long the first request may wait for the predefined network.
	firstTimeout = 5 * time.Second
)

// Server is the Docker Network API.
type Server struct {
	control controlpb.NetworkControlClient
	engine  Engine
	rest    http.Handler
	front   http.Handler
	version string
	log     logr.Logger

	events  *eventLog
	said    answer
	names   keyedLocks // of networks that are being made
	pruning sync.Mutex
}

// NewServer returns a server. Events are told while Run runs.
func NewServer(o Options) *Server {
	s := &Server{
		control: o.Control, engine: o.Engine, rest: o.Rest, version: cmp.Or(o.Version, "dev"), log: o.Log,
		events: newEventLog(),
	}
	s.front = s
	if o.InFront != nil {
		s.front = o.InFront(s)
	}
	return s
}

// Serve runs the server on a listener until ctx is done, and closes it. Requests
// that are being answered are ended then.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	first, done := context.WithTimeout(ctx, firstTimeout)
	if err := s.makeBridge(first); err != nil {
		s.log.Error(err, "The predefined network is not there yet; it is tried again", "network", BridgeNetwork)
	}
	done()
	// Streams end with the server, not with their clients.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	h := &http.Server{Handler: s.front, ReadHeaderTimeout: readHeaderTimeout, BaseContext: func(net.Listener) context.Context { return base }}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		s.events.close()
		stop, cancel := context.WithTimeout(base, stopTimeout)
		defer cancel()
		if err := h.Shutdown(stop); err != nil {
			return errors.Join(ignoreDeadline(err), h.Close())
		}
		return nil
	})
	return g.Wait()
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// call is a request on its way.
type call struct {
	*http.Request
	version string
	id      string // of the network that the path names
}

type handler func(context.Context, http.ResponseWriter, *call) error

// versioned splits the version that a path may begin with.
var versioned = regexp.MustCompile(`^/v([0-9.]+)(/.*)$`)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, version := r.URL.Path, ""
	if m := versioned.FindStringSubmatch(path); m != nil {
		version, path = m[1], m[2]
	}
	handle, id := s.route(r.Method, path)
	if handle == nil {
		if s.rest != nil {
			s.rest.ServeHTTP(w, r)
			return
		}
		_ = writeJSON(w, http.StatusNotFound, map[string]string{"message": "page not found"})
		return
	}
	head := w.Header()
	head.Set("Server", "Docker/"+s.version+" ("+runtime.GOOS+")")
	head.Set("Api-Version", MaxAPIVersion)
	head.Set("Ostype", runtime.GOOS)
	c := &call{Request: r, version: cmp.Or(version, MaxAPIVersion), id: id}
	err := checkVersion(c.version)
	if err == nil {
		head.Set("Docker-Experimental", "false")
		err = parseForm(r)
	}
	if err == nil {
		ctx := r.Context()
		if path != "/events" {
			var done context.CancelFunc
			ctx, done = context.WithTimeout(ctx, callTimeout)
			defer done()
		}
		err = handle(ctx, w, c)
	}
	if err == nil || r.Context().Err() != nil {
		return // the client has gone
	}
	if status, message := statusOf(err); status >= http.StatusInternalServerError {
		s.log.Error(err, "Request failed", "method", r.Method, "path", path, "status", status, "answer", message)
	}
	writeError(w, version, err)
}

// route is who answers, and the id in the path. Nil: nobody here.
func (s *Server) route(method, path string) (handler, string) {
	id, named := strings.CutPrefix(path, "/networks/")
	switch method {
	case http.MethodOptions:
		return func(_ context.Context, w http.ResponseWriter, _ *call) error {
			w.WriteHeader(http.StatusOK)
			return nil
		}, ""
	case http.MethodHead:
		if path == "/_ping" {
			return s.ping, ""
		}
	case http.MethodGet:
		switch path {
		case "/_ping":
			return s.ping, ""
		case "/version":
			return s.showVersion, ""
		case "/info":
			return s.showInfo, ""
		case "/events":
			return s.streamEvents, ""
		case "/networks", "/networks/":
			return s.listNetworks, ""
		}
		if named {
			return s.inspectNetwork, id
		}
	case http.MethodPost:
		switch id {
		case "create":
			return s.createNetwork, ""
		case "prune":
			return s.pruneNetworks, ""
		}
		if of, ok := strings.CutSuffix(id, "/connect"); named && ok {
			return s.connect, of
		}
		if of, ok := strings.CutSuffix(id, "/disconnect"); named && ok {
			return s.disconnect, of
		}
	case http.MethodDelete:
		if named {
			return s.deleteNetwork, id
		}
	}
	return nil, ""
}
