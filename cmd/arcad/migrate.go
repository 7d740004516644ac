// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vas-solutus/arca-network/pkg/control/client"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/docker/migrate"
)

// reached is how a command that ends by itself reaches the control API.
type reached struct {
	target  string
	tls     transport.Files
	timeout time.Duration
}

func (r *reached) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.target, "target", client.DefaultTarget, "control API of arca-network: unix:///PATH, vsock://CID:PORT, tcp://HOST:PORT or a socket of a VMM")
	f.StringVar(&r.tls.Cert, "tls-cert", "", "client certificate for --target over TCP, as arcactl certs makes it")
	f.StringVar(&r.tls.Key, "tls-key", "", "key of --tls-cert")
	f.StringVar(&r.tls.CA, "tls-ca", "", "authority of the certificate of --target")
	f.DurationVar(&r.timeout, "timeout", 2*time.Minute, "end after this time")
}

// with calls fn with a client, for as long as the time is not over.
func (r *reached) with(ctx context.Context, fn func(context.Context, *client.Client) error) error {
	if r.timeout <= 0 {
		return fmt.Errorf("--timeout: %s: must be above 0", r.timeout)
	}
	var config *tls.Config
	if r.tls != (transport.Files{}) {
		var err error
		if config, err = transport.ClientTLS(r.tls); err != nil {
			return err
		}
	}
	c, err := client.Dial(r.target, config)
	if err != nil {
		return fmt.Errorf("--target: %w", err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return fn(ctx, c)
}

func importCommand() *cobra.Command {
	var r reached
	var from, output string
	var dryRun, skip bool
	c := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Declare the networks of a Docker Engine",
		Long: `import declares networks as a Docker Engine has them, with their ids, names, subnets,
labels and options. It reads what docker network inspect or docker network ls --format json
writes, from FILE or from standard input (-), or asks an engine (--from). Nothing is
changed in the engine.

What becomes of each network is shown, the conflicts first; where there are any,
nothing is imported, unless --skip-conflicts is given. It may be repeated.`,
		Example: `  arcad import --from unix:///var/run/docker.sock --dry-run
  docker network inspect $(docker network ls -q) | arcad import -
  docker network ls --no-trunc --format json | arcad import - -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show := migrate.PrintTable
			switch output {
			case "":
			case "json":
				show = migrate.PrintJSON
			default:
				return fmt.Errorf("--output: %q: must be json, or left out for a table", output)
			}
			return r.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				sources, err := sources(ctx, cmd.InOrStdin(), from, args)
				if err != nil {
					return err
				}
				existing, err := migrate.Existing(ctx, c)
				if err != nil {
					return err
				}
				plan := migrate.Plan(sources, existing)
				if err := show(cmd.OutOrStdout(), plan); err != nil || dryRun {
					return err
				}
				return migrate.Apply(ctx, c, plan, skip)
			})
		},
	}
	r.addFlags(c)
	c.Flags().StringVar(&from, "from", "", "ask this Docker Engine, for example unix:///var/run/docker.sock")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would become of each network")
	c.Flags().BoolVar(&skip, "skip-conflicts", false, "import what has no conflict")
	c.Flags().StringVarP(&output, "output", "o", "", "json, for programs; a table if left out")
	return c
}

// sources are the networks to import, from the one place that is given.
func sources(ctx context.Context, stdin io.Reader, from string, args []string) ([]migrate.Source, error) {
	switch {
	case from != "" && len(args) > 0:
		return nil, fmt.Errorf("--from: %q cannot be given with %q; one of them", from, args[0])
	case from != "":
		return migrate.FromEngine(ctx, from)
	case len(args) == 0:
		return nil, errors.New("FILE, - for standard input, or --from must be given")
	case args[0] == "-":
		return migrate.Read(stdin)
	}
	f, err := os.Open(args[0])
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	s, err := migrate.Read(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", args[0], err)
	}
	return s, err
}

func exportCommand() *cobra.Command {
	var r reached
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all networks, policies and attachments as YAML",
		Long: `export writes the Network, Policy and Attachment objects as YAML for kubectl or arcactl
apply, with the subnets and addresses that were chosen. Rules that SetNetworkPolicy has
set become a policy like any other, which it does not replace.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				out, err := migrate.Export(ctx, c)
				if err == nil {
					_, err = cmd.OutOrStdout().Write(out)
				}
				return err
			})
		},
	}
	r.addFlags(c)
	return c
}
