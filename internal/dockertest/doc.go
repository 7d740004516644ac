// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dockertest owns real Docker Engines for tests: containerd and dockerd
// with folders, sockets and cgroups of their own, in the namespaces of the test
// process, and an image that needs no registry. It must not be used outside of
// tests and the bench, and knows nothing of this project's networks.
//
// The engine is the one that hack/docker-engine.sh builds. ARCA_DOCKER_BIN names
// the folder of another (dockerd, containerd, docker and runc in it or in PATH).
package dockertest

import (
	"testing"

	"github.com/vas-solutus/arca-network/internal/testns"
)

// Main runs a package's tests in network, mount and PID namespaces of their own,
// in which /run is empty: an engine finds its plugins in /run/docker/plugins.
// Call it from TestMain.
func Main(m *testing.M) { testns.MainPID(m.Run) }
