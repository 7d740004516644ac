// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package engine owns the way to a container engine that speaks Docker's API:
// it hands requests on to the engine's socket and its answers back, byte for
// byte, streams and upgraded connections too. It keeps nothing.
package engine
