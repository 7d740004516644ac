// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vas-solutus/arca-network/pkg/docker/install"
)

func installCommand() *cobra.Command {
	o := install.Options{}
	root := ""
	c := &cobra.Command{
		Use:   "install [flags] [-- FLAGS OF arca-network run]",
		Short: "Make arcad and arca-network services of this machine",
		Long: `install writes systemd units for arca-network and arcad, and a file for the Docker
Engine where it would not find the driver "arca" by itself. It says which files it has
written, starts nothing, and leaves alone what it has not written.`,
		Example: `  arcad install -- --ovn-root /var/cache/arca-network/ovn-root
  systemctl daemon-reload
  systemctl enable --now arca-network arcad`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := findPrograms(&o); err != nil {
				return err
			}
			o.NetworkFlags = args
			changes, err := install.Install(root, o)
			tell(cmd.OutOrStdout(), changes)
			if err == nil && install.UnitsChanged(changes) {
				fmt.Fprintln(cmd.OutOrStdout(), nextSteps)
			}
			return err
		},
	}
	f := c.Flags()
	rootFlag(c, &root)
	f.StringVar(&o.Target, "target", localTarget, "where arca-network shall serve the control API")
	f.StringVar(&o.Engine, "engine", "unix:///var/run/docker.sock", "socket of the Docker Engine")
	f.StringVar(&o.PluginSocket, "plugin-socket", defaultPluginSocket, "where arcad shall serve the engine's driver")
	f.StringVar(&o.Network, "arca-network", "", "path of the program arca-network (default: beside arcad)")
	f.StringArrayVar(&o.ArcadFlags, "arcad-flag", nil, "further flag of arcad run; repeatable")
	return c
}

const nextSteps = "now: systemctl daemon-reload && systemctl enable --now arca-network arcad"

// lastSteps: the unit of arcad let the engine's rules pass what is forwarded.
const lastSteps = `now:
  systemctl daemon-reload
  iptables -D DOCKER-USER -i uplink0 -j ACCEPT; iptables -D DOCKER-USER -o uplink0 -j ACCEPT  # ip6tables too`

func uninstallCommand() *cobra.Command {
	root := ""
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove what install has written",
		Long: `uninstall removes the files that install has written and that nobody has changed
since. It ends nothing: end the services first.`,
		Example: `  systemctl disable --now arcad arca-network
  arcad uninstall
  systemctl daemon-reload`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			changes, err := install.Uninstall(root)
			tell(cmd.OutOrStdout(), changes)
			if err == nil && install.UnitsChanged(changes) {
				fmt.Fprintln(cmd.OutOrStdout(), lastSteps)
			}
			return err
		},
	}
	rootFlag(c, &root)
	return c
}

func rootFlag(c *cobra.Command, root *string) {
	c.Flags().StringVar(root, "root", "/", "folder that stands for the machine's root")
}

// findPrograms names the programs by paths, as systemd wants them.
func findPrograms(o *install.Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Arcad = self
	if o.Network == "" {
		o.Network = filepath.Join(filepath.Dir(self), "arca-network")
	}
	if !filepath.IsAbs(o.Network) {
		return fmt.Errorf("--arca-network: %q: must be an absolute path", o.Network)
	}
	if info, err := os.Stat(o.Network); err != nil || info.IsDir() {
		return fmt.Errorf("--arca-network: there is no program %s", o.Network)
	}
	return nil
}

func tell(w io.Writer, changes []install.Change) {
	for _, c := range changes {
		fmt.Fprintf(w, "%s: %s\n", c.Path, c.Outcome)
	}
}
