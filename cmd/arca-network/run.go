// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/vas-solutus/arca-network/controllers"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
	"github.com/vas-solutus/arca-network/pkg/health"
	"github.com/vas-solutus/arca-network/pkg/probe"
)

// options are the flags of `arca-network run`.
type options struct {
	stateDir string
	runDir   string
	node     string
	role     string

	ovnRoot   string
	ovsSocket string
	nb        string

	datastore  string
	kubeconfig string
	apiListen  []string

	listen        []string
	tls           transport.Files
	vsockAllowCID []uint

	workers int
	dnsRate int
	metrics string
	health  string
	egress  []string
	probes  []probe.Target // what egress says
	// probeEvery is the pause between two looks at them.
	probeEvery time.Duration
	pprof      string
	logFormat  string
	verbosity  int
}

const (
	defaultStateDir = "/var/lib/arca-network"
	defaultRunDir   = "/run/arca-network"
	controlSocket   = "control.sock"
	ovnFolder       = "ovn" // in the state folder, of the daemons
)

func stateDirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state-dir", defaultStateDir, "folder of the store and the OVS and OVN databases")
}

func runDirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "run-dir", defaultRunDir, "folder of the daemons' sockets and pid files; short, for a socket's path has at most 107 bytes")
}

func ovnRootFlag(c *cobra.Command, root *string) {
	c.Flags().StringVar(root, "ovn-root", "", "Debian root folder to run the OVS and OVN daemons from, as hack/ovn-root.sh makes it (default: the system's own)")
}

func runCommand() *cobra.Command {
	o := &options{}
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the store and the controllers until told to stop",
		Long: `run starts the embedded API and store, starts or adopts the OVS and OVN daemons, and
keeps them as the objects say. SIGTERM ends it cleanly; the daemons go on and so does
all traffic, and the next run adopts them. "arca-network down" ends the daemons too.`,
		Example: `  arca-network run
  arca-network run --ovn-root /var/cache/arca-network/ovn-root
  arca-network run --ovs-socket unix:/run/openvswitch/db.sock --nb unix:/run/ovn/ovnnb_db.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	f := c.Flags()
	stateDirFlag(c, &o.stateDir)
	runDirFlag(c, &o.runDir)
	ovnRootFlag(c, &o.ovnRoot)
	f.StringVar(&o.node, "node", "", "this host's name in Attachment.spec.node (default: the host name)")
	f.StringVar(&o.role, "role", "all", "what to run: all (central and node are not supported yet)")
	f.StringVar(&o.ovsSocket, "ovs-socket", "", "Open_vSwitch database of daemons that the system runs, for example unix:/run/openvswitch/db.sock; needs --nb")
	f.StringVar(&o.nb, "nb", "", "northbound database of daemons that the system runs, for example unix:/run/ovn/ovnnb_db.sock; needs --ovs-socket")
	f.StringVar(&o.datastore, "datastore-endpoint", "", "keep objects in this datastore instead of SQLite, in kine's form, for example etcd: http://127.0.0.1:2379")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "keep objects in the Kubernetes API of this file instead of the embedded one")
	f.StringArrayVar(&o.apiListen, "api-listen", nil, "further address of the embedded API, which is on the loopback always: 127.0.0.1:PORT to choose its port there, unix:///PATH, vsock://:PORT, tcp://HOST:PORT or fd://N, all with TLS and a client certificate of STATE/pki; the server's names HOST, and for 0.0.0.0 or :: the host name and the addresses that the machine has at the start; repeatable")
	f.StringArrayVar(&o.listen, "listen", nil, "address of the control API: unix:///PATH, vsock://:PORT, tcp://HOST:PORT (needs --tls-cert, --tls-key and --tls-client-ca) or fd://N; repeatable (default unix://RUN-DIR/"+controlSocket+")")
	f.StringVar(&o.tls.Cert, "tls-cert", "", "certificate of the control API over TCP, as arcactl certs makes it")
	f.StringVar(&o.tls.Key, "tls-key", "", "key of --tls-cert")
	f.StringVar(&o.tls.CA, "tls-client-ca", "", "authority of the certificates of the control API's clients over TCP")
	f.UintSliceVar(&o.vsockAllowCID, "vsock-allow-cid", nil, "vsock context ids that may connect beside the host's, 2")
	f.IntVar(&o.workers, "workers", controllers.DefaultWorkers, "attachments worked on side by side")
	f.IntVar(&o.dnsRate, "dns-queries-per-second", 10000, "names that one container address may ask for, and a tenth of it from other servers; what is more is dropped; 0 is no limit")
	f.StringVar(&o.metrics, "metrics-bind-address", "0", "address of /metrics in Prometheus format, for example 127.0.0.1:8080; 0 is off")
	f.StringVar(&o.health, "health-bind-address", "0", "address of /healthz and /readyz, for example 127.0.0.1:8081; 0 is off; the embedded API serves the same as "+health.Path)
	f.StringArrayVar(&o.egress, "egress-probe", nil, "host of the world that shows in health whether the way out works: icmp://ADDRESS or tcp://ADDRESS:PORT, where a refusal is an answer too; repeatable, and one of each family has to answer (default: none is asked)")
	f.DurationVar(&o.probeEvery, "egress-probe-interval", 30*time.Second, "pause between two probes, at least 1s; they also follow each change of the host's links and routes")
	f.StringVar(&o.pprof, "pprof-bind-address", "", "address of /debug/pprof, on the loopback, for example 127.0.0.1:6060; empty is off")
	f.StringVar(&o.logFormat, "log-format", "auto", "auto, text or json")
	f.IntVarP(&o.verbosity, "verbosity", "v", 0, "0, or 1 for details")
	c.MarkFlagsMutuallyExclusive("datastore-endpoint", "kubeconfig")
	c.MarkFlagsMutuallyExclusive("api-listen", "kubeconfig") // there is no embedded API then
	c.MarkFlagsRequiredTogether("ovs-socket", "nb")
	c.MarkFlagsMutuallyExclusive("ovn-root", "nb")
	return c
}

// validate checks what flags alone can tell.
func (o *options) validate() error {
	if o.role != "all" {
		return fmt.Errorf("--role: %q is not supported yet: must be all", o.role)
	}
	if o.workers < 1 || o.workers > 1024 {
		return fmt.Errorf("--workers: %d: must be 1 to 1024", o.workers)
	}
	if o.dnsRate < 0 {
		return fmt.Errorf("--dns-queries-per-second: %d: must be 0 or more", o.dnsRate)
	}
	if o.verbosity < 0 || o.verbosity > 1 {
		return fmt.Errorf("--verbosity: %d: must be 0 or 1", o.verbosity)
	}
	if len(o.egress) > 0 && o.probeEvery < time.Second {
		return fmt.Errorf("--egress-probe-interval: %v: must be at least 1s", o.probeEvery)
	}
	for _, s := range o.egress {
		t, err := probe.ParseTarget(s)
		if err != nil {
			return fmt.Errorf("--egress-probe: %w", err)
		}
		o.probes = append(o.probes, t)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("must run as root: it makes interfaces and network namespaces' addresses")
	}
	for flag, d := range map[string]*string{"--state-dir": &o.stateDir, "--run-dir": &o.runDir} {
		if *d == "" {
			return fmt.Errorf("%s: no folder is named", flag) // the current one is nobody's choice
		}
		abs, err := filepath.Abs(*d)
		if err != nil {
			return err
		}
		*d = abs
	}
	if o.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--node: %w", err)
		}
		o.node = name
	}
	if len(o.listen) == 0 {
		o.listen = []string{"unix://" + o.controlSocket()}
	}
	for _, l := range o.listen {
		if err := transport.CheckListen(l); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
	}
	for _, l := range o.apiListen {
		if !strings.Contains(l, "://") {
			continue // on the loopback, which the store looks at
		}
		if err := transport.CheckListen(l); err != nil {
			return fmt.Errorf("--api-listen: %w", err)
		}
	}
	if _, err := o.controlTLS(logr.Discard()); err != nil {
		return err
	}
	for _, cid := range o.vsockAllowCID {
		if cid > math.MaxUint32 {
			return fmt.Errorf("--vsock-allow-cid: %d: must be a number from 0 to %d", cid, uint32(math.MaxUint32))
		}
	}
	return nil
}

func (o *options) controlSocket() string { return filepath.Join(o.runDir, controlSocket) }

func (o *options) run(ctx context.Context) error {
	if err := keepInherited(); err != nil {
		return err
	}
	log, flush, err := newLogger(o.logFormat, o.verbosity)
	if err != nil {
		return err
	}
	defer flush()
	log.Info("Starting", "version", version, "node", o.node, "stateDir", o.stateDir)
	return o.serve(ctx, log)
}
