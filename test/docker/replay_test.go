// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience bounds each request; the engine looks for an IPAM driver for 30 s.
const patience = 60 * time.Second

// answer is what somebody said to a request, made comparable.
type answer struct {
	index   int // of the request in its story
	request string
	status  int
	header  map[string]string
	body    any    // JSON
	text    string // what is not JSON
}

// player asks the requests of one story.
type player struct {
	http *http.Client
	// containers is asked about the containers that a story leaves.
	containers *http.Client
	start      time.Time
	vars       map[string]string
	given      string // all that the story says: what is in it is not replaced
}

func newPlayer(socket, containers string) *player {
	return &player{http: dial(socket), containers: dial(containers)}
}

func dial(socket string) *http.Client {
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		},
	}
}

// play asks a story's requests in turn.
func (p *player) play(ctx context.Context, s *story) (out []answer, err error) {
	p.start, p.vars, p.given = time.Now(), map[string]string{}, string(s.archive.Files[0].Data)
	if err := p.predefined(ctx); err != nil {
		return nil, err
	}
	for index, r := range s.requests {
		var seen []string
		for i := range r.times {
			p.vars["i"] = strconv.Itoa(i + 1)
			a, err := p.ask(ctx, r)
			if err != nil {
				return nil, fmt.Errorf("%s: %s", r, shortened(err.Error()))
			}
			a.index = index
			if text := a.String(); !slices.Contains(seen, text) {
				seen, out = append(seen, text), append(out, a)
			}
		}
	}
	return out, nil
}

// builtin are the networks that are always there.
var builtin = []string{"bridge", "host", "none"}

// predefined remembers the networks that are always there, by their names.
func (p *player) predefined(ctx context.Context) error {
	list, err := list(ctx, p.http, "/networks")
	if err != nil {
		return err
	}
	for _, n := range list {
		if slices.Contains(builtin, n.Name) {
			p.vars[n.Name] = n.Id
		}
	}
	return nil
}

// clean removes every container and network that is not predefined.
func (p *player) clean(ctx context.Context) error {
	containers, err := list(ctx, p.containers, "/containers/json?all=1")
	if err != nil {
		return err
	}
	for _, c := range containers {
		if err := remove(ctx, p.containers, "/containers/"+c.Id+"?force=1"); err != nil {
			return err
		}
	}
	networks, err := list(ctx, p.http, "/networks")
	if err != nil {
		return err
	}
	// One that is the configuration of others goes after them.
	slices.SortStableFunc(networks, func(a, b object) int {
		return cmp.Compare(strconv.FormatBool(a.ConfigOnly), strconv.FormatBool(b.ConfigOnly))
	})
	for _, n := range networks {
		if slices.Contains(builtin, n.Name) {
			continue
		}
		if err := remove(ctx, p.http, "/networks/"+n.Id); err != nil {
			return err
		}
	}
	return nil
}

type object struct {
	Name, Id   string
	ConfigOnly bool
}

func list(ctx context.Context, client *http.Client, path string) (out []object, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

func remove(ctx context.Context, client *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		raw, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("DELETE %s: %s: %s", path, resp.Status, raw)
	}
	return nil
}

func (p *player) ask(ctx context.Context, r request) (answer, error) {
	path, text := p.expand(r.path), p.expand(r.body)
	if unknown := variable.FindString(path + text); unknown != "" {
		return answer{}, fmt.Errorf("nothing is remembered as %s", unknown)
	}
	var body io.Reader
	if text != "" {
		body = strings.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://docker"+escaped(path), body)
	if err != nil {
		return answer{}, err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		if v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, p.expand(v))
		}
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{request: r.String(), status: resp.StatusCode, header: map[string]string{}}
	for k := range resp.Header {
		if k == "Content-Type" || k == "Location" || r.headers && k != "Date" && k != "Content-Length" {
			a.header[k] = version.ReplaceAllString(resp.Header.Get(k), "Docker/<version>")
		}
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") { // nor application/jsonl
		a.text = p.replace(string(raw))
		return a, nil
	}
	if a.body, err = decode(string(raw)); err != nil {
		return a, fmt.Errorf("%w in the answer %s", err, raw)
	}
	if fields, ok := a.body.(map[string]any); ok && r.remember != "" {
		if id, ok := fields["Id"].(string); ok {
			p.vars[p.expand(r.remember)] = id
		}
	}
	restrict(a.body, r.only)
	a.body = p.normal("", a.body)
	return a, nil
}

// restrict takes all but some fields out of an object, or of each in a list.
func restrict(v any, only []string) {
	switch v := v.(type) {
	case []any:
		for _, child := range v {
			restrict(child, only)
		}
	case map[string]any:
		maps.DeleteFunc(v, func(k string, _ any) bool { return len(only) > 0 && !slices.Contains(only, k) })
	}
}

// decode reads JSON, of which a stream has many: then they are a list.
func decode(raw string) (any, error) {
	var all []any
	for d := json.NewDecoder(strings.NewReader(raw)); ; {
		var v any
		d.UseNumber()
		if err := d.Decode(&v); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

// expand puts in what a story's variables stand for.
func (p *player) expand(s string) string {
	return variable.ReplaceAllStringFunc(s, func(v string) string {
		name := v[2 : len(v)-1]
		if what, times, ok := strings.Cut(name, "*"); ok {
			n, _ := strconv.Atoi(times)
			return strings.Repeat(what, n)
		}
		name, length, _ := strings.Cut(name, ":")
		switch name {
		case "now":
			return seconds(time.Now())
		case "start":
			return seconds(p.start)
		case "shared":
			return p.shared()
		}
		value, ok := p.vars[name]
		if !ok {
			return v // which ask refuses
		}
		if n, err := strconv.Atoi(length); err == nil {
			value = value[:n]
		}
		return value
	})
}

func seconds(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }

// shared is a digit with which two of the Ids begin; of 17 there are always two.
func (p *player) shared() string {
	seen := map[string]bool{}
	for name, id := range p.vars {
		if name == "i" {
			continue
		}
		if seen[id[:1]] {
			return id[:1]
		}
		seen[id[:1]] = true
	}
	return "no-two-ids-begin-alike"
}
