// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certs owns how certificates are made: an authority and what it signs,
// with ECDSA keys. It must not touch files: who asks for a certificate knows
// where it belongs and who may read it.
package certs
