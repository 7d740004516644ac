// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/ns"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/vas-solutus/arca-network/pkg/control/client"
	"github.com/vas-solutus/arca-network/pkg/control/transport"
)

// Versions are the versions of CNI that the plugin speaks.
var Versions = version.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0")

// Commands are the plugin's answers to CNI's commands.
func Commands() skel.CNIFuncs {
	return skel.CNIFuncs{
		Add:    with(add),
		Del:    with(del),
		Check:  with(check),
		GC:     with(gc),
		Status: with(ready),
	}
}

// call is one command: what it was asked with, and the control API to ask.
type call struct {
	*skel.CmdArgs
	config *config
	api    *client.Client
}

// with makes a command of fn, which gets a context that ends in time.
func with(fn func(context.Context, *call) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		c, err := loadConfig(args.StdinData)
		if err != nil {
			return err
		}
		api, err := dial(c)
		if err != nil {
			return err
		}
		defer func() { _ = api.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.Timeout))
		defer cancel()
		return fn(ctx, &call{args, c, api})
	}
}

// dial makes a client of the control API. It does not connect yet.
func dial(c *config) (*client.Client, error) {
	var config *tls.Config
	if strings.HasPrefix(c.Target, "tcp://") {
		var err error
		config, err = transport.ClientTLS(transport.Files{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.CA})
		var file *transport.FileError
		if errors.As(err, &file) {
			return nil, invalidConfig("tls."+strings.ToLower(file.Field), file.Name+": "+file.Reason())
		}
		if err != nil {
			return nil, invalidConfig("tls", err.Error())
		}
	}
	api, err := client.Dial(c.Target, config)
	if err != nil {
		return nil, invalidConfig("target", err.Error())
	}
	return api, nil
}

// attachment is the interface that the runtime means.
func (c *call) attachment() (attachment, error) {
	args, err := loadArgs(c.Args)
	return attachment{container: c.ContainerID, ifname: c.IfName, netns: c.Netns, args: args}, err
}

// checkNetns refuses to put an interface into the plugin's own namespace before
// anything is made; the library looks afterwards.
func (c *call) checkNetns() error {
	if o := strings.ToUpper(c.NetnsOverride); o == "TRUE" || o == "1" {
		return nil
	}
	own, err := ns.CheckNetNS(c.Netns)
	if err != nil {
		return err
	}
	if own {
		return types.NewError(types.ErrInvalidNetNS, "CNI_NETNS: "+c.Netns+" is the namespace that the plugin runs in", "")
	}
	return nil
}
