// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health owns what is known about how arca-network and what it depends
// on are doing: it measures components, each on its own and with a deadline,
// and keeps one report that everybody who is asked about health reads. It must
// not repair anything, and it must not claim what it has not measured.
package health
