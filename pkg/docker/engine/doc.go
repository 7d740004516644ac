// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package engine owns the way to a container engine that speaks Docker's API:
// it hands requests on to the engine's socket and its answers back, byte for
// byte, but for what says which networks a container is on. Those are ours: in
// requests they become the engine's shadow networks, which the package makes
// there with driver "arca", and in answers they become ours again.
// Requests about the networks themselves are answered by who serves those.
//
// It must not touch a network of ours or what makes one real, nor a network of
// the engine that is not a shadow, and keeps nothing that the engine does not tell.
package engine
