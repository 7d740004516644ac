// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ipam decides who gets which subnet, IP address and MAC address. It
// is pure: no I/O, no API types, no clock, and its state is rebuilt from what
// its callers know. It must not write anything anywhere. Its types are not
// safe for concurrent use: callers hold a lock, for they have more to decide
// at the same time.
package ipam
