// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
)

// A path, a query and headers arrive as they were sent, also where they are odd.
func TestRequestIsUnchanged(t *testing.T) {
	type seen struct{ URI, Auth, Agent, Body string }
	engine := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Docker-Experimental", "false")
		w.WriteHeader(http.StatusTeapot)
		_ = json.NewEncoder(w).Encode(seen{r.RequestURI, r.Header.Get("X-Registry-Auth"), r.Header.Get("User-Agent"), string(body)})
	}))
	proxy := client(t, inFront(t, engine, list{}))
	want := seen{"/v1.41/images/a%2Fb/push?tag=x;y&z=%zz", "abc", "Docker-Client/1", "{not json"}
	request, err := http.NewRequest(http.MethodPost, "http://d"+want.URI, strings.NewReader(want.Body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Registry-Auth", want.Auth)
	request.Header.Set("User-Agent", want.Agent)
	answer, err := proxy.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got seen
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got != want || answer.StatusCode != http.StatusTeapot || answer.Header.Get("Docker-Experimental") != "false" {
		t.Fatalf("got %+v, want %+v; %d %v", got, want, answer.StatusCode, answer.Header)
	}
}

// Output is passed on as it comes: the engine waits until the client has read each line.
func TestOutputIsNotHeldBack(t *testing.T) {
	read := make(chan struct{})
	engine := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		for i := range 3 {
			<-read
			fmt.Fprintln(w, i)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	answer, err := client(t, inFront(t, engine, list{})).Get("http://d/containers/c1/logs?follow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for i := range 3 {
		read <- struct{}{}
		if !lines.Scan() || lines.Text() != fmt.Sprint(i) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
	}
}

// An upload arrives while it is being sent, and is answered while it is.
func TestUploadIsNotHeldBack(t *testing.T) {
	engine := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintln(w, "got", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	}))
	body, upload := io.Pipe()
	go func() { fmt.Fprintln(upload, 0) }()
	answer, err := client(t, inFront(t, engine, list{})).Post("http://d/images/load", "application/x-tar", body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("got ", i) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
		fmt.Fprintln(upload, i+1)
	}
	_ = upload.Close()
}

// Where no engine is, the answer names its socket; plain requests and streams alike.
func TestEngineIsAway(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody.sock")
	proxy := client(t, inFront(t, socket, list{}))
	for _, request := range []string{"GET /volumes", "POST /containers/c1/attach", "POST /exec/x/start", "GET /images/json"} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequest(method, "http://d"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := proxy.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Message string }
		err = json.NewDecoder(answer.Body).Decode(&got)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.Message, "unix://"+socket) {
			t.Errorf("%s: %d %q %v", request, answer.StatusCode, got.Message, err)
		}
	}
}

// Who serves the networks says what is there while the engine is away.
func TestNetworksWithoutEngine(t *testing.T) {
	e, err := New(Options{Address: filepath.Join(t.TempDir(), "nobody.sock"), Networks: list{}, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "own") })
	proxy := client(t, serve(t, e.InFrontOf(own)))
	for _, path := range []string{"/_ping", "/v1.41/version", "/info", "/networks", "/v1.41/networks/n1"} {
		answer, err := proxy.Get("http://d" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if string(body) != "own" {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, address := range []string{"", "tcp://127.0.0.1:2375", "docker.sock", "ssh://h"} {
		if _, err := New(Options{Address: address}); err == nil || !strings.Contains(err.Error(), "unix:///PATH") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
