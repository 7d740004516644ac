// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package transport owns how a connection between a host and arca-network is
// made: unix sockets, vsock, TCP with TLS, sockets that somebody else has
// opened, and the unix sockets with which VMMs reach a guest's vsock. It knows
// who may connect, and must not know what is said.
package transport
