// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin owns the tests of the engine's network and IPAM driver, and of
// Docker's API as arcad serves it in front of an engine with that driver, with a
// real Docker Engine, real OVS and OVN, and the programs as they are built. What
// the engine, the objects and OVN say of endpoints must be the same, whatever was
// killed.
package plugin
