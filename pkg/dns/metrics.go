// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import "github.com/prometheus/client_golang/prometheus"

// outcome is what became of a query.
type outcome int

const (
	outcomeLocal     outcome = iota // answered from the records
	outcomeCached                   // an answer of others that was kept
	outcomeForwarded                // others were asked
	outcomeFailed                   // others do not answer, or too many are being asked
	outcomeRefused                  // the client is nobody's, or its network has no name server
	outcomeLimited                  // the client asks too often, or too much at a time
	outcomeMalformed
	outcomes
)

var outcomeNames = [outcomes]string{"local", "cached", "forwarded", "failed", "refused", "limited", "malformed"}

type metrics struct {
	queries [outcomes]prometheus.Counter
	seconds prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	queries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "arca_dns_queries_total", Help: "Queries of containers, by what became of them.",
	}, []string{"outcome"})
	m := &metrics{seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "arca_dns_forward_seconds", Help: "Time until other servers have answered or were given up.",
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 5},
	})}
	for i, name := range outcomeNames {
		m.queries[i] = queries.WithLabelValues(name)
	}
	if r == nil {
		return m, nil
	}
	if err := r.Register(queries); err != nil {
		return nil, err
	}
	return m, r.Register(m.seconds)
}

func (m *metrics) count(o outcome) { m.queries[o].Inc() }
