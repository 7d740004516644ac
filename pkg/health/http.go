// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Path is where the embedded API serves the report.
const Path = "/arca/health"

// ServeHTTP answers with the report as JSON. The status is 200 whatever the
// health is: the question was answered.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(m.Report())
}

// Handler serves /healthz and /readyz, which answer 200 or 503 and say why, and
// the report at Path.
func (m *Monitor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(Path, m)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		report := m.Report()
		m.answer(w, r, report, report.Alive, func(c Check) bool { return c.Liveness })
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		report := m.Report()
		m.answer(w, r, report, report.Ready, func(c Check) bool { return c.Readiness })
	})
	return mux
}

// answer lists the components that the question is about, as Kubernetes'
// endpoints of the same names do.
func (m *Monitor) answer(w http.ResponseWriter, r *http.Request, report Report, good bool, about func(Check) bool) {
	if !readOnly(w, r) {
		return
	}
	var b strings.Builder
	for i, c := range report.Components {
		if about(m.checks[i]) {
			fmt.Fprintf(&b, "%s: %s %s\n", c.Name, c.State, c.Message)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	verdict := "ok"
	if !good {
		verdict = "not ok"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, "%s%s\n", b.String(), verdict)
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, r.Method+" is not allowed: must be GET or HEAD", http.StatusMethodNotAllowed)
	return false
}
