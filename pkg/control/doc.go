// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package control owns the control API: a gRPC server with which a daemon on
// the host says what networks and attachments there should be, and its client.
// It writes API objects and waits for their conditions, and must not touch
// anything else: no database, no interface.
package control
