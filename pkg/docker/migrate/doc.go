// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate owns the way of networks from a Docker Engine to arca-network,
// and of arca-network's objects to a file: it reads what `docker network ls` or
// `inspect` writes, or asks an engine, decides what becomes of each network, and
// declares it over the control API. It must not write to the engine, nor know
// how Docker's facts are kept in objects: pkg/docker does.
package migrate
