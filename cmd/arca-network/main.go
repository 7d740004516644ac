// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command arca-network runs next to Open vSwitch and OVN and makes them match
// the Network, Attachment and Policy objects in its store.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "arca-network:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "arca-network",
		Short: "Declared networks for containers and micro-VMs on OVN and Open vSwitch",
		Long: `arca-network keeps OVN's northbound database and the Open vSwitch ports of this
machine as the Network and Attachment objects say, for ever.

Start it with "arca-network run", then apply objects with kubectl or arcactl:

  arca-network run &
  kubectl --kubeconfig /var/lib/arca-network/kubeconfig apply -f network.yaml`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), downCommand(), backupCommand(), restoreCommand())
	return root
}
