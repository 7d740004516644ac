// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docker owns the Docker Network API: it serves what Docker clients ask
// about networks from the objects, over the control API, and keeps no state of
// its own. What only Docker knows of a network or an endpoint is in annotations
// of its object. It must not touch interfaces, OVN or the store; containers come
// from an engine behind the interface Engine.
package docker
