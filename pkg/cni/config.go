// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/vas-solutus/arca-network/pkg/control/client"
)

// defaultTimeout is how long a command may take if the configuration does not say.
const defaultTimeout = 30 * time.Second

// config is the network configuration as a runtime hands it over.
type config struct {
	types.PluginConf

	// Network is the name or id of a Network.
	Network string `json:"network"`
	// Create makes the Network where there is none. A subnet says so too.
	Create  bool     `json:"create"`
	Subnet  string   `json:"subnet"`
	Gateway string   `json:"gateway"`
	Subnets []subnet `json:"subnets"`

	// Target of the control API, and the certificates for one of tcp://.
	Target string   `json:"target"`
	TLS    tlsFiles `json:"tls"`
	// Timeout of a command, for example "30s".
	Timeout timeout `json:"timeout"`

	RuntimeConfig runtimeConfig `json:"runtimeConfig"`
	Args          struct {
		CNI struct {
			Labels []struct {
				Key   string `json:"key"`
				Value string `json:"value"`
			} `json:"labels"`
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
}

type subnet struct {
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway"`
}

type tlsFiles struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
	CA   string `json:"ca"`
}

// runtimeConfig is what the runtime adds for the capabilities that the
// configuration declares.
type runtimeConfig struct {
	PortMappings []portMapping `json:"portMappings"`
	Bandwidth    *bandwidth    `json:"bandwidth"`
	MAC          string        `json:"mac"`
	IPs          []string      `json:"ips"`
	DNS          struct {
		Servers  []string `json:"servers"`
		Searches []string `json:"searches"`
		Options  []string `json:"options"`
	} `json:"dns"`
	Aliases aliases `json:"aliases"`
}

type bandwidth struct {
	IngressRate  int64 `json:"ingressRate"`
	IngressBurst int64 `json:"ingressBurst"`
	EgressRate   int64 `json:"egressRate"`
	EgressBurst  int64 `json:"egressBurst"`
}

// aliases are a list, as CNI's conventions say, or lists by the names of
// networks, as Podman sends.
type aliases struct {
	all       []string
	byNetwork map[string][]string
}

func (a *aliases) UnmarshalJSON(raw []byte) error {
	if json.Unmarshal(raw, &a.all) == nil {
		return nil
	}
	if err := json.Unmarshal(raw, &a.byNetwork); err != nil {
		return fmt.Errorf("runtimeConfig.aliases: %s: must be a list of names, or lists of names by network", raw)
	}
	return nil
}

func (a aliases) of(network string) []string {
	if a.byNetwork != nil {
		return a.byNetwork[network]
	}
	return a.all
}

type timeout time.Duration

func (t *timeout) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err == nil {
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			*t = timeout(d)
			return nil
		}
	}
	return fmt.Errorf(`timeout: %s: must be a time above 0 with its unit, for example "30s"`, raw)
}

// loadConfig reads a network configuration and enters what it leaves out.
func loadConfig(raw []byte) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "network configuration: "+err.Error(), "")
	}
	creates := c.creates()
	switch {
	case c.Network == "" && creates:
		c.Network = c.Name
	case c.Network == "":
		return nil, invalidConfig("network", "must be given: the name or id of a Network; or create: true, or subnet, to make one called "+c.Name)
	}
	if c.Gateway != "" && c.Subnet == "" {
		return nil, invalidConfig("gateway", fmt.Sprintf("%q needs subnet, which it is a part of", c.Gateway))
	}
	for i, s := range c.Subnets {
		if s.Subnet == "" {
			return nil, invalidConfig(fmt.Sprintf("subnets[%d].subnet", i), "must be given, for example 10.88.0.0/24")
		}
	}
	c.Target = cmp.Or(c.Target, client.DefaultTarget)
	c.Timeout = cmp.Or(c.Timeout, timeout(defaultTimeout))
	return c, nil
}

// creates tells whether the Network is made where there is none.
func (c *config) creates() bool { return c.Create || len(c.wantedSubnets()) > 0 }

// wantedSubnets are all subnets that the configuration names.
func (c *config) wantedSubnets() []subnet {
	if c.Subnet == "" {
		return c.Subnets
	}
	return append([]subnet{{c.Subnet, c.Gateway}}, c.Subnets...)
}

// subnetField is where the configuration says something of a wanted subnet.
func (c *config) subnetField(i int, key string) string {
	if c.Subnet != "" {
		if i == 0 {
			return key
		}
		i--
	}
	return fmt.Sprintf("subnets[%d].%s", i, key)
}
