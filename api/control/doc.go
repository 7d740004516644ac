// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlpb owns the control API: network.proto, and the Go that is
// generated from it. It must not hold any behaviour; that is pkg/control's.
package controlpb
