// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command coredns is CoreDNS with those plugins that the bench compares the
// name server with. It is a module of its own: nothing else depends on it.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/hosts"
)

func main() { coremain.Run() }
