// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// certsCommand makes what the control API needs over TCP.
func certsCommand(streams genericiooptions.IOStreams) *cobra.Command {
	o := transport.CertificateOptions{}
	c := &cobra.Command{
		Use:   "certs --dir FOLDER",
		Short: "Make the certificates of the control API over TCP",
		Long: `certs makes an authority and two certificates that it signs, for the control API's
server and for its clients, as PEM files: ca.crt, server.crt, client.crt, and their keys
with mode 0600. Files that are there are left alone, unless --force is given.

Keep ca.key away from both machines: whoever has it can be anybody.`,
		Example: `  arcactl certs --dir certs --hosts 192.0.2.1,arca.example
  arca-network run --listen tcp://192.0.2.1:9999 --tls-cert certs/server.crt \
    --tls-key certs/server.key --tls-client-ca certs/ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := transport.MakeCertificates(o); err != nil {
				return err
			}
			for _, f := range []string{"ca", "server", "client"} {
				fmt.Fprintln(streams.Out, filepath.Join(o.Dir, f+".crt"))
				fmt.Fprintln(streams.Out, filepath.Join(o.Dir, f+".key"))
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.Dir, "dir", "", "folder for the files; it is made where it is not there")
	c.Flags().StringSliceVar(&o.Hosts, "hosts", nil, "names and addresses by which clients reach the server, beside localhost")
	c.Flags().BoolVar(&o.Force, "force", false, "replace files that are there")
	_ = c.MarkFlagRequired("dir") // fails only for a flag that does not exist
	return c
}
