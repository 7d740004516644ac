// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxBody bounds a request. The largest that an engine sends names the ports
	// of one container.
	maxBody = 1 << 20
	// callTimeout bounds one call: the engine itself waits for ever.
	callTimeout = 60 * time.Second
	contentType = "application/vnd.docker.plugins.v1.2+json"
)

// Names of the drivers' calls begin with these.
const (
	networkDriver = "NetworkDriver"
	ipamDriver    = "IpamDriver"
)

// Handler serves the protocol. What it does not know is 404, by which an engine
// knows that a call is not implemented.
func (p *Plugin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/Plugin.Activate", call(p, "Err", p.activate))
	for name, h := range map[string]http.Handler{
		"GetCapabilities":             call(p, "Err", p.capabilities),
		"CreateNetwork":               call(p, "Err", p.createNetwork),
		"DeleteNetwork":               call(p, "Err", p.deleteNetwork),
		"CreateEndpoint":              call(p, "Err", p.createEndpoint),
		"EndpointOperInfo":            call(p, "Err", p.endpointInfo),
		"DeleteEndpoint":              call(p, "Err", p.deleteEndpoint),
		"Join":                        call(p, "Err", p.join),
		"Leave":                       call(p, "Err", p.leave),
		"ProgramExternalConnectivity": call(p, "Err", p.connected),
		"RevokeExternalConnectivity":  call(p, "Err", p.disconnected),
		"DiscoverNew":                 call(p, "Err", p.discovered),
		"DiscoverDelete":              call(p, "Err", p.discovered),
	} {
		mux.Handle("/"+networkDriver+"."+name, h)
	}
	for name, h := range map[string]http.Handler{
		"GetCapabilities":         call(p, "Error", p.ipamCapabilities),
		"GetDefaultAddressSpaces": call(p, "Error", p.addressSpaces),
		"RequestPool":             call(p, "Error", p.requestPool),
		"ReleasePool":             call(p, "Error", p.releasePool),
		"RequestAddress":          call(p, "Error", p.requestAddress),
		"ReleaseAddress":          call(p, "Error", p.releaseAddress),
	} {
		mux.Handle("/"+ipamDriver+"."+name, h)
	}
	return mux
}

// call serves one call. What cannot be read is an HTTP error; what was read and
// could not be done is an answer whose field says why.
func call[Request, Response any](p *Plugin, field string, do func(context.Context, Request) (Response, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, map[string]string{"Err": r.Method + " is not allowed; calls are sent by POST"})
			return
		}
		var request Request
		if code, err := decode(w, r, &request); err != nil {
			p.sweeper.suspect()
			if errors.Is(err, errNoBody) {
				p.noteBrokenOff()
			}
			p.log.Info("Cannot read a call of the engine", "call", r.URL.Path[1:], "reason", err.Error())
			answer(w, code, map[string]string{"Err": err.Error()})
			return
		}
		// An engine that goes away in the middle does not undo what it has asked for;
		// half of it would be harder to find.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callTimeout)
		defer cancel()
		from := time.Now()
		response, err := do(ctx, request)
		p.log.V(1).Info("Finished a call of the engine", "call", r.URL.Path[1:], "took", time.Since(from).String())
		if err != nil {
			p.sweeper.suspect()
			p.log.Info("Refused a call of the engine", "call", r.URL.Path[1:], "reason", err.Error())
			answer(w, http.StatusOK, map[string]string{field: err.Error()})
			return
		}
		answer(w, http.StatusOK, response)
	})
}

// errNoBody is why a call is refused that the engine repeats without its body.
var errNoBody = errors.New("the request has no body; a call that broke off has to be begun anew")

// decode reads a request. An engine that repeats a call which broke off sends it
// without its body: what it was about is lost, and to succeed would be a lie.
func decode(w http.ResponseWriter, r *http.Request, into any) (code int, err error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.UseNumber()
	err = d.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		if _, none := into.(*empty); none {
			return 0, nil
		}
		return http.StatusBadRequest, errNoBody
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the request is larger than %d bytes", maxBody)
	case err != nil:
		return http.StatusBadRequest, fmt.Errorf("the request is not as the protocol says: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return http.StatusBadRequest, errors.New("there is something behind the request")
	}
	return 0, nil
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	// What cannot be sent the engine asks for again.
	_ = json.NewEncoder(w).Encode(body)
}

// activate is the first call of an engine that has just been started.
func (p *Plugin) activate(context.Context, empty) (map[string][]string, error) {
	p.greeted()
	return map[string][]string{"Implements": {networkDriver, ipamDriver}}, nil
}

func (p *Plugin) capabilities(context.Context, empty) (capabilitiesResponse, error) {
	return capabilitiesResponse{Scope: "local", ConnectivityScope: "local"}, nil
}

// discovered takes notice of other hosts of a cluster, of which a local driver
// needs to know nothing.
func (p *Plugin) discovered(context.Context, empty) (empty, error) { return empty{}, nil }

func (p *Plugin) ipamCapabilities(context.Context, empty) (ipamCapabilitiesResponse, error) {
	// The MAC tells the endpoints of two requests apart, also when one is repeated.
	// Nothing needs to be replayed: what was given is in the objects.
	return ipamCapabilitiesResponse{RequiresMACAddress: true}, nil
}

// addressSpaces: an engine does not compare the pools of the global space with the
// host's routes. Those lead to our own networks, so every pool would seem taken,
// and it would ask for another for ever. What is in the way on the host is looked
// at when a pool is chosen.
func (p *Plugin) addressSpaces(context.Context, empty) (addressSpacesResponse, error) {
	return addressSpacesResponse{LocalDefaultAddressSpace: addressSpace, GlobalDefaultAddressSpace: addressSpace}, nil
}
