// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cni owns the CNI plugin: it turns what a runtime asks for into calls
// of the control API, and what those answer into CNI's results and errors. It
// keeps no state, writes no object but through the control API, and must not
// make an interface: it only reads, for CHECK, what is in a container.
//
// Everything that is decided is in pure functions (config.go, request.go,
// ports.go, identity.go, result.go, errors.go); the commands are in files of
// their names. It links the client of the control API alone (pkg/control/client),
// for a runtime starts it anew for each container.
package cni
