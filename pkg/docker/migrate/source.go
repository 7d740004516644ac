// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/network"
)

// maxInput bounds what is read: 1,000 networks are about a megabyte.
const maxInput = 64 << 20

// Source is a network of a Docker Engine.
type Source struct {
	ID      string
	Created time.Time
	Request network.CreateRequest
	// Brief: it is from a list, which tells no subnets, no options and only the
	// beginning of the id.
	Brief bool
}

// Read reads what `docker network inspect` writes, or `docker network ls
// --format json`: an array, or objects one after the other.
func Read(r io.Reader) ([]Source, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxInput {
		return nil, fmt.Errorf("more than %d MB", maxInput>>20)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	var out []Source
	for {
		var document json.RawMessage
		if err := d.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("after %d bytes: %w", d.InputOffset(), err)
		}
		each := []json.RawMessage{document}
		if document[0] == '[' {
			if err := json.Unmarshal(document, &each); err != nil {
				return nil, err
			}
		}
		for _, one := range each {
			s, err := sourceOf(one)
			if err != nil {
				return nil, fmt.Errorf("network %d: %w", len(out)+1, err)
			}
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no network in it; give what `docker network inspect $(docker network ls -q)` or `docker network ls --format json` writes")
	}
	return out, nil
}

// sourceOf reads one network. The two forms are told apart by their keys:
// only inspect writes "Id", and a list writes all as text.
func sourceOf(raw json.RawMessage) (Source, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return Source{}, err
	}
	if _, listed := keys["ID"]; listed {
		return listedOf(raw)
	}
	var n network.Network
	if err := json.Unmarshal(raw, &n); err != nil {
		return Source{}, err
	}
	if n.ID == "" || n.Name == "" {
		return Source{}, errors.New("the keys Id and Name must be given")
	}
	if _, told := keys["EnableIPv4"]; !told {
		n.EnableIPv4 = true // engines before 28 do not tell, and have it
	}
	s := Source{ID: n.ID, Created: time.Time(n.Created), Request: network.CreateRequest{
		Name: n.Name, Driver: n.Driver, EnableIPv4: &n.EnableIPv4, EnableIPv6: &n.EnableIPv6, IPAM: &n.IPAM,
		Internal: n.Internal, Attachable: n.Attachable, Ingress: n.Ingress, ConfigOnly: n.ConfigOnly, Options: n.Options, Labels: n.Labels,
	}}
	if n.ConfigFrom.Network != "" {
		s.Request.ConfigFrom = &n.ConfigFrom
	}
	if n.Scope != "local" {
		s.Request.Scope = n.Scope
	}
	return s, nil
}

// listedOf reads a line of a list.
func listedOf(raw json.RawMessage) (Source, error) {
	var l struct{ ID, Name, Driver, Scope, Labels, IPv4, IPv6, Internal, CreatedAt string }
	if err := json.Unmarshal(raw, &l); err != nil {
		return Source{}, err
	}
	if l.ID == "" || l.Name == "" {
		return Source{}, errors.New("the keys ID and Name must be given")
	}
	s := Source{ID: fullID(l.ID, l.Name), Brief: true, Request: network.CreateRequest{Name: l.Name, Driver: l.Driver}}
	if l.Scope != "local" {
		s.Request.Scope = l.Scope
	}
	var err error
	is := func(key, value string, unset bool) *bool {
		on := unset
		if value != "" {
			var wrong error
			if on, wrong = strconv.ParseBool(value); wrong != nil {
				err = errors.Join(err, fmt.Errorf("%s: %q: must be true or false", key, value))
			}
		}
		return &on
	}
	s.Request.EnableIPv4, s.Request.EnableIPv6 = is("IPv4", l.IPv4, true), is("IPv6", l.IPv6, false)
	s.Request.Internal = *is("Internal", l.Internal, false)
	for label := range strings.SplitSeq(l.Labels, ",") {
		if key, value, _ := strings.Cut(label, "="); key != "" {
			if s.Request.Labels == nil {
				s.Request.Labels = map[string]string{}
			}
			s.Request.Labels[key] = value
		}
	}
	// As Go prints a time: the zone's name at the end says nothing more.
	if fields := strings.Fields(l.CreatedAt); len(fields) >= 3 {
		s.Created, _ = time.Parse("2006-01-02 15:04:05.999999999 -0700", strings.Join(fields[:3], " "))
	}
	return s, err
}

// fullID is an id of Docker's length. A list has only its beginning, which stays:
// it is what people see and write. The rest is always the same for one network.
func fullID(id, name string) string {
	const length = 64
	if len(id) >= length {
		return id
	}
	sum := sha256.Sum256([]byte(id + "/" + name))
	return id + hex.EncodeToString(sum[:])[:length-len(id)]
}

// FromEngine asks a Docker Engine for its networks.
func FromEngine(ctx context.Context, address string) ([]Source, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok || path == "" {
		return nil, fmt.Errorf("--from: %q: must be unix:///PATH, for example unix:///var/run/docker.sock", address)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/networks", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("--from: %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, fmt.Errorf("--from: %s: %s: %s", address, response.Status, bytes.TrimSpace(said))
	}
	out, err := Read(response.Body)
	if err != nil {
		return nil, fmt.Errorf("--from: %s: %w", address, err)
	}
	return out, nil
}
