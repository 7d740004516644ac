// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vas-solutus/arca-network/pkg/store"
)

func backupCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store into one file, while it is in use or not",
		Long: `backup writes a consistent copy of all objects into FILE. It may run at any time.
The copy is complete and on disk when the command ends.`,
		Example: "  arca-network backup /var/backups/arca-network.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.Backup(cmd.Context(), dir, args[0]); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "written", args[0])
			return nil
		},
	}
	stateDirFlag(c, &dir)
	return c
}

func restoreCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the store's place",
		Long: `restore checks FILE and puts it in the place of the store. arca-network must not
be running. What was there is kept beside it. At the next start OVN and Open vSwitch converge to
the restored objects.`,
		Example: "  arca-network restore /var/backups/arca-network.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := store.Restore(cmd.Context(), args[0], dir); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "restored", args[0], "to", dir)
			return nil
		},
	}
	stateDirFlag(c, &dir)
	return c
}
