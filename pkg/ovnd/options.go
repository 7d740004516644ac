// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
)

// Options says which daemons to run, and where.
type Options struct {
	// Root is a Debian root folder, as hack/ovn-root.sh makes it; empty means
	// the system's own packages.
	Root string
	// Dir holds databases and logs; it survives a reboot.
	Dir string
	// RunDir holds sockets and pid files. A socket's path has at most 107
	// bytes, so this one must be short.
	RunDir string
	Log    logr.Logger
	// SystemID is this chassis' name. Default: derived from /etc/machine-id.
	SystemID string
	// EncapIP is this chassis' tunnel address. Default: 127.0.0.1.
	EncapIP string
}

// Endpoints are where the databases are, in OVSDB's form ("unix:/path").
type Endpoints struct {
	NB, SB, OVS string
}

// Versions are those that the programs print.
type Versions struct {
	OVS string `json:"ovs"`
	OVN string `json:"ovn"`
}

// Bridge is the integration bridge that ovn-controller uses.
const Bridge = "br-int"

// maxSocketPath is the length of a Unix socket's path without its final NUL.
const maxSocketPath = 107

func (o *Options) validate() error {
	if longest := o.path("ovn-controller.ctl"); len(longest) > maxSocketPath {
		return fmt.Errorf("run folder %q is too long: %q has %d bytes, a socket's path at most %d; choose a shorter one, such as /run/arca-network",
			o.RunDir, longest, len(longest), maxSocketPath)
	}
	if o.EncapIP == "" {
		o.EncapIP = "127.0.0.1"
	}
	if o.SystemID == "" {
		id, err := os.ReadFile("/etc/machine-id")
		if err != nil || len(strings.TrimSpace(string(id))) < 8 {
			id = []byte("arca-network")
		}
		o.SystemID = "arca-" + strings.TrimSpace(string(id))
	}
	return nil
}

// path is a file in the run folder.
func (o *Options) path(name string) string { return filepath.Join(o.RunDir, name) }

// EndpointsOf tells where the databases of these options are, whether they run
// or not.
func EndpointsOf(o Options) Endpoints {
	all := "unix:" + o.path("db.sock")
	return Endpoints{NB: all, SB: all, OVS: all}
}

// AttachOptions names the databases of daemons that the system runs.
type AttachOptions struct {
	NB, OVS string
}

// Attach uses daemons that the system runs: it never starts or stops them. It
// fails where a database does not answer.
func Attach(ctx context.Context, o AttachOptions) (Endpoints, error) {
	for name, endpoint := range map[string]string{"northbound database": o.NB, "Open_vSwitch database": o.OVS} {
		if err := Probe(ctx, endpoint); err != nil {
			return Endpoints{}, fmt.Errorf("%s %s: %w", name, endpoint, err)
		}
	}
	return Endpoints{NB: o.NB, OVS: o.OVS}, nil
}
