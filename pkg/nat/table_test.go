// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"testing"
)

func TestApplyTwiceWritesOnce(t *testing.T) {
	l := newLab(t)
	s := natted(port(TCP, "0.0.0.0", 8080, web4, 80), port(UDP, "::", 53, web6, 53),
		port(SCTP, host4, 9, web4, 9), port(TCP, host6, 9, web6, 9))
	s.Routed = prefixes("10.90.0.0/16")
	s.Closed = prefixes("fd00:91::/64", "10.91.0.0/24")
	l.apply(s, true)
	l.apply(s, false)

	// Another process finds its predecessor's table and writes nothing.
	l.m = l.manager()
	l.apply(s, false)
}
