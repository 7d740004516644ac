// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/store"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

func downCommand() *cobra.Command {
	var (
		o     options
		purge bool
	)
	c := &cobra.Command{
		Use:   "down",
		Short: "End the OVS and OVN daemons and remove this host's ports",
		Long: `down ends what "arca-network run" leaves running: the OVS and OVN daemons and the
ports and the nftables table of this host. The objects stay in the store, and the next run brings everything
back. "arca-network run" must have ended before.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			log, flush, err := newLogger(o.logFormat, o.verbosity)
			if err != nil {
				return err
			}
			defer flush()
			return o.down(cmd.Context(), log, purge)
		},
	}
	stateDirFlag(c, &o.stateDir)
	runDirFlag(c, &o.runDir)
	ovnRootFlag(c, &o.ovnRoot)
	c.Flags().BoolVar(&purge, "purge", false, "remove the state folder as well, with all objects")
	c.Flags().StringVar(&o.logFormat, "log-format", "auto", "auto, text or json")
	o.role, o.workers = "all", 1
	return c
}

// downTimeout bounds each step of down.
const downTimeout = 30 * time.Second

// down removes the ports while the database still answers, then the daemons.
// What fails keeps nothing else from being ended. Nothing is while somebody uses
// the folders.
func (o *options) down(ctx context.Context, log logr.Logger, purge bool) error {
	if purge {
		if err := checkPurge(o.stateDir); err != nil {
			return err
		}
	}
	release, err := store.Lock(o.stateDir)
	if err != nil {
		return err
	}
	defer release()
	run, err := ovnd.Lock(o.runDir)
	if err != nil {
		return err
	}
	defer run()
	if err := o.end(ctx, log, run); err != nil {
		return err
	}
	if purge {
		return os.RemoveAll(o.stateDir)
	}
	return nil
}

// checkPurge refuses to remove a folder that no arca-network has filled.
func checkPurge(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--purge: %w", err)
	case len(entries) == 0 || store.IsState(dir) || ovnd.HasDatabases(filepath.Join(dir, ovnFolder)):
		return nil // where the store is another's there are the daemons' databases alone
	}
	return fmt.Errorf("--purge: %s is no state folder of arca-network: nothing was ended or removed", dir)
}

// end does what down does, with both locks held. release gives that of the daemons
// back.
func (o *options) end(ctx context.Context, log logr.Logger, release func()) error {
	var errs []error
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"removing ports", func(ctx context.Context) error { return o.removePorts(ctx, log) }},
		{"removing the host's rules", removeRules},
		{"removing the control socket", func(context.Context) error { return transport.RemoveStale(o.controlSocket()) }},
		{"ending the daemons", func(ctx context.Context) error {
			release() // for what takes it now
			return ovnd.Stop(ctx, o.daemonOptions(log))
		}},
	} {
		ctx, cancel := context.WithTimeout(ctx, downTimeout)
		if err := step.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.what, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// removeRules removes the nftables table once the uplink is gone: without
// either, nothing of containers reaches the host, which no longer forwards
// where it did so for them alone.
func removeRules(ctx context.Context) error {
	rules, err := nat.New(nat.Options{Uplink: topology.UplinkInterface})
	if err != nil {
		return err
	}
	return rules.Remove(ctx)
}

func (o *options) removePorts(ctx context.Context, log logr.Logger) error {
	socket := ovnd.EndpointsOf(o.daemonOptions(log)).OVS
	err := ovnd.Probe(ctx, socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		log.Info("No Open_vSwitch database runs; ports that are left go with the next run", "socket", socket)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the Open_vSwitch database does not answer: %w", err)
	}
	ports, err := vnet.New(vnet.Options{OVSSocket: socket, Bridge: "br-int", Log: log.WithName("vnet")})
	if err != nil {
		return err
	}
	connected := make(chan struct{})
	var once sync.Once
	ports.Subscribe(func(e vnet.Event) {
		if e.All {
			once.Do(func() { close(connected) })
		}
	})
	run, stop := context.WithCancel(ctx)
	g, run := errgroup.WithContext(run)
	g.Go(func() error { return ports.Run(run) })
	g.Go(func() error {
		defer stop()
		select {
		case <-connected:
		case <-run.Done():
			return run.Err()
		}
		removed, err := ports.Prune(ctx, func(vnet.Owner) bool { return false })
		log.Info("Ports removed", "ports", removed)
		return err
	})
	return g.Wait()
}
