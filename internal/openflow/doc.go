// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package openflow is what is needed of OpenFlow 1.3 to keep one flow in a bridge:
// the handshake, adding a flow, and being told that it was removed. It must not
// know what a flow is for.
//
// Source: OpenFlow Switch Specification 1.3.5 (ONF TS-023); numbers of sections
// below are its. All numbers are big-endian.
package openflow
