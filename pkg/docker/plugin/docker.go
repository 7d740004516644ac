// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// DriverName is the driver's name in the engine: that of the plugin's socket.
const DriverName = "arca"

// DockerEngine asks a Docker engine which endpoints it has, by its API.
type DockerEngine struct {
	client  *http.Client
	timeout time.Duration // of one question

	mu   sync.Mutex
	root string // the engine's folder, once it was asked
}

// NewDockerEngine returns the engine on a socket: unix:///PATH, or PATH. It does
// not connect yet.
func NewDockerEngine(address string) (*DockerEngine, error) {
	path := strings.TrimPrefix(address, "unix://")
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("engine %q: must be a socket, as unix:///PATH", address)
	}
	return &DockerEngine{timeout: engineTimeout, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // it is asked seldom
	}}}, nil
}

// maxAnswer bounds an answer: some thousand networks.
const maxAnswer = 64 << 20

func (e *DockerEngine) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	response, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return &answerError{path: path, code: response.StatusCode}
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into)
}

// answerError is an answer that is not 200.
type answerError struct {
	path string
	code int
}

func (e *answerError) Error() string {
	return fmt.Sprintf("GET %s: %d %s", e.path, e.code, http.StatusText(e.code))
}

// ID is what the engine keeps beside its networks.
func (e *DockerEngine) ID(ctx context.Context) (string, error) {
	var info struct{ ID, DockerRootDir string }
	if err := e.get(ctx, "/info", &info); err != nil {
		return "", err
	}
	if info.ID == "" {
		return "", errors.New("the engine has no ID")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.root = info.DockerRootDir
	return info.ID, nil
}

var containerID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ResolvConf is in the engine's folder of the container. The engine tells the path
// of a container that runs, but not while it starts it.
func (e *DockerEngine) ResolvConf(ctx context.Context, container string) (string, error) {
	if !containerID.MatchString(container) {
		return "", fmt.Errorf("container %q: must be an id of 64 hexadecimal digits", container)
	}
	root := e.folder()
	if root == "" { // which ID learns
		if _, err := e.ID(ctx); err != nil {
			return "", err
		}
		if root = e.folder(); root == "" {
			return "", errors.New("the engine does not say where its folder is")
		}
	}
	return filepath.Join(root, "containers", container, "resolv.conf"), nil
}

func (e *DockerEngine) folder() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.root
}

// Endpoints lists the endpoints of all networks of this driver.
func (e *DockerEngine) Endpoints(ctx context.Context) (map[string]map[string]bool, error) {
	var list []struct{ ID, Driver string }
	filter, err := json.Marshal(map[string][]string{"driver": {DriverName}})
	if err != nil {
		return nil, err
	}
	if err := e.get(ctx, "/networks?filters="+url.QueryEscape(string(filter)), &list); err != nil {
		return nil, err
	}
	out := map[string]map[string]bool{}
	for _, n := range list {
		if n.Driver != DriverName {
			continue
		}
		var detail struct {
			Containers map[string]struct{ EndpointID string }
		}
		err := e.get(ctx, "/networks/"+url.PathEscape(n.ID), &detail)
		var gone *answerError
		if errors.As(err, &gone) && gone.code == http.StatusNotFound {
			continue // deleted in between; it is looked at again
		}
		if err != nil {
			return nil, err
		}
		endpoints := map[string]bool{}
		for _, c := range detail.Containers {
			endpoints[c.EndpointID] = true
		}
		out[n.ID] = endpoints
	}
	return out, nil
}
