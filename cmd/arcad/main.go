// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command arcad runs on the host that runs the containers, and translates the
// Docker API into objects of arca-network.
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
		fmt.Fprintln(os.Stderr, "arcad:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "arcad",
		Short: "The Docker API on networks of arca-network",
		Long: `arcad answers Docker clients on a socket of its own. Networks are objects of
arca-network, which it reads and writes over the control API; it keeps nothing itself.

  arcad run &
  docker -H unix:///var/run/arca.sock network ls`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), pluginCommand(), installCommand(), uninstallCommand(), importCommand(), exportCommand())
	return root
}
