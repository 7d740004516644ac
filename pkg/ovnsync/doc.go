// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ovnsync owns the OVN northbound database: it makes the database hold
// the rows that each owner wants, and is the only writer of it. It must not
// know what a row is for (package topology does), touch rows of others, or
// write to the southbound and Open_vSwitch databases.
package ovnsync
