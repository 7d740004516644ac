// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package worldtest owns how tests put together what arca-network is made of:
// the controllers over real OVS and OVN, and the control API. It must not be used
// outside of tests; daemons are those of pkg/ovnd/ovntest, the objects' API that of
// pkg/store/storetest.
//
// Its functions give errors, and take no testing.T: processes that tests kill use
// them too.
package worldtest
