// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Command arcactl is the person's tool: it applies and shows the objects of
// arca-network and explains why one is not ready.
package main

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/cmd/apiresources"
	"k8s.io/kubectl/pkg/cmd/apply"
	"k8s.io/kubectl/pkg/cmd/delete"
	"k8s.io/kubectl/pkg/cmd/diff"
	"k8s.io/kubectl/pkg/cmd/edit"
	"k8s.io/kubectl/pkg/cmd/get"
	"k8s.io/kubectl/pkg/cmd/patch"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/cmd/wait"

	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// version is set by the linker.
var version = "dev"

// defaultKubeconfig is where arca-network writes it.
const defaultKubeconfig = "/var/lib/arca-network/kubeconfig"

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if err := command(streams).Execute(); err != nil {
		cmdutil.CheckErr(err)
	}
}

// through has an API reached by an address that a kubeconfig cannot hold.
func through(c *rest.Config, target string) *rest.Config {
	if target == "" {
		return c
	}
	c = rest.CopyConfig(c)
	if address, ok := strings.CutPrefix(target, "tcp://"); ok {
		c.Host = "https://" + address
		return c
	}
	c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return transport.Dial(ctx, target, nil) }
	return c
}

// command is made of kubectl's own commands: whoever knows them knows these.
func command(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "arcactl",
		Short: "Apply, show and explain the networks of arca-network",
		Long: `arcactl applies and shows Network, Attachment and Policy objects, and explains why
one is not ready. Its commands are those of kubectl.

The API is found by --kubeconfig, $KUBECONFIG, or ` + defaultKubeconfig + `. With --connect
it is reached through another address, with the certificates of that file.`,
		Example: `  arcactl apply -f network.yaml
  arcactl get networks,attachments
  arcactl wait --for=condition=Ready attachment/web-1
  arcactl explain attachment/web-1
  arcactl health`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := genericclioptions.NewConfigFlags(true).WithDiscoveryBurst(300).WithDiscoveryQPS(50)
	if os.Getenv("KUBECONFIG") == "" {
		*flags.KubeConfig = defaultKubeconfig
	}
	flags.Namespace = nil
	connect := root.PersistentFlags().String("connect", "", "reach the API through this address of arca-network run --api-listen, for example vsock://3:6443 or unix:///run/arca-api.sock")
	flags.WithWrapConfigFn(func(c *rest.Config) *rest.Config { return through(c, *connect) })
	flags.AddFlags(root.PersistentFlags())
	matched := cmdutil.NewMatchVersionFlags(flags)
	f := cmdutil.NewFactory(matched)
	const parent = "arcactl"
	root.AddCommand(
		apply.NewCmdApply(parent, f, streams),
		get.NewCmdGet(parent, f, streams),
		describeCommand(parent, f, streams),
		wait.NewCmdWait(flags, streams),
		delete.NewCmdDelete(f, streams),
		certsCommand(streams),
		explainCommand(f, streams),
		healthCommand(f, streams),
		diff.NewCmdDiff(f, streams),
		edit.NewCmdEdit(f, streams),
		patch.NewCmdPatch(f, streams),
		apiresources.NewCmdAPIResources(flags, streams),
	)
	return root
}
