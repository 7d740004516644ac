// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

const dialTimeout = 5 * time.Second

// Options say which engine it is and whose networks its containers are on.
type Options struct {
	// Address is the engine's socket: unix:///PATH, or PATH.
	Address string
	// Networks are ours.
	Networks Networks
	// Driver is told of endpoints in advance. Nil: it is not.
	Driver Driver
	// Predefined are the ids of our networks host and none, by their names.
	Predefined map[string]string
	Log        logr.Logger
}

// Engine is a container engine behind its socket. It serves the engine's API,
// with our networks.
type Engine struct {
	socket     string
	networks   Networks
	predefined map[string]string
	log        logr.Logger
	client     *http.Client
	pass       *httputil.ReverseProxy
	known      known
	expects    Driver
	// apiVersion is the newest version of the API that the engine speaks, from its
	// last answer.
	apiVersion atomic.Pointer[string]
	// driver and ipam are the drivers of shadows: tests of what does not depend
	// on them have the engine's own.
	driver, ipam string

	// shadows is held while one is made or removed.
	shadows sync.Mutex
	// surplus has an element while there may be shadows to remove.
	surplus chan struct{}
}

// New returns the engine at an address. It does not connect yet.
func New(o Options) (*Engine, error) {
	socket := strings.TrimPrefix(o.Address, "unix://")
	if !strings.HasPrefix(socket, "/") {
		return nil, fmt.Errorf("engine %q: not supported: give a socket, as unix:///PATH", o.Address)
	}
	e := &Engine{socket: socket, networks: o.Networks, predefined: o.Predefined, expects: o.Driver, log: o.Log, driver: driverName, ipam: driverName, surplus: make(chan struct{}, 1)}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx) },
		// What the engine compresses, or does not, is the client's affair.
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
	}
	e.client = &http.Client{Transport: transport}
	e.pass = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", engineHost
			// Also what cannot be parsed is the engine's to refuse.
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		// Logs, events and progress are passed on as they come.
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, r *http.Request, err error) { e.refuse(w, r, err) },
		ErrorLog:      log.New(debugLog{o.Log}, "", 0),
	}
	return e, nil
}

// engineHost is what requests to a socket name as their host.
const engineHost = "docker"

// Close lets go of connections that wait for requests.
func (e *Engine) Close() { e.client.CloseIdleConnections() }

func (e *Engine) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, &awayError{socket: e.socket, err: err}
	}
	return conn, nil
}

// debugLog writes lines of the standard library's logger.
type debugLog struct{ log logr.Logger }

func (d debugLog) Write(line []byte) (int, error) {
	d.log.V(1).Info("Passing on to the engine", "what", strings.TrimSpace(string(line)))
	return len(line), nil
}
