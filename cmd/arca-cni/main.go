// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command arca-cni is a CNI plugin that connects containers to the networks of
// arca-network.
package main

import (
	"github.com/containernetworking/cni/pkg/skel"

	"github.com/vas-solutus/arca-network/pkg/cni"
)

// version is set by the linker.
var version = "dev"

func main() {
	skel.PluginMainFuncs(cni.Commands(), cni.Versions, "CNI plugin arca-cni "+version)
}
