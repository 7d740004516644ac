// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy tests policies with real traffic: endpoints in network
// namespaces on real OVS and OVN, under the controllers, and an oracle that
// knows the objects alone.
package policy
