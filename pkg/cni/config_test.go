// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

func TestConfigDefaults(t *testing.T) {
	c, err := loadConfig([]byte(`{"cniVersion": "1.1.0", "name": "n", "type": "arca-cni", "network": "web", "something": "else"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Target != "unix:///run/arca-network/control.sock" || time.Duration(c.Timeout) != 30*time.Second || c.Network != "web" {
		t.Errorf("got %+v", c)
	}
	if c, err = loadConfig([]byte(`{"name": "n", "subnet": "10.1.0.0/24", "timeout": "1m30s"}`)); err != nil {
		t.Fatal(err)
	}
	if c.Network != "n" || !c.creates() || time.Duration(c.Timeout) != 90*time.Second {
		t.Errorf("got %+v", c)
	}
}

func TestConfigRefused(t *testing.T) {
	for _, tt := range []struct {
		config string
		code   uint
		want   string
	}{
		{`{"name": "n"}`, types.ErrInvalidNetworkConfig, "network: must be given"},
		{`{"name": "n", "network": 4}`, types.ErrDecodingFailure, "network"},
		{`{"name": "n", "network": "web", "timeout": 30}`, types.ErrDecodingFailure, "timeout: 30: must be"},
		{`{"name": "n", "network": "web", "timeout": "-1s"}`, types.ErrDecodingFailure, "timeout: "},
		{`{"name": "n", "network": "web", "gateway": "10.1.0.1"}`, types.ErrInvalidNetworkConfig, `gateway: "10.1.0.1" needs subnet`},
		{`{"name": "n", "subnets": [{"gateway": "10.1.0.1"}], "create": true}`, types.ErrInvalidNetworkConfig, "subnets[0].subnet: must be given"},
		{`{"name": "n", "network": "web", "runtimeConfig": {"aliases": 4}}`, types.ErrDecodingFailure, "runtimeConfig.aliases: 4: must be"},
		{`{"name": "n", "network": `, types.ErrDecodingFailure, "network configuration: "},
	} {
		_, err := loadConfig([]byte(tt.config))
		isError(t, err, tt.code, tt.want)
	}
}

// isError fails where an error is not CNI's with such a code and message.
func isError(t *testing.T, err error, code uint, message string) {
	t.Helper()
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Msg, message) {
		t.Errorf("got %v (%+v), want code %d and %q", err, e, code, message)
	}
}

func TestAliases(t *testing.T) {
	for given, want := range map[string]string{
		`["a", "b"]`:               "a b",
		`{"n": ["c"], "m": ["d"]}`: "c",
		`{"m": ["d"]}`:             "",
	} {
		c, err := loadConfig([]byte(`{"name": "n", "network": "web", "runtimeConfig": {"aliases": ` + given + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.RuntimeConfig.Aliases.of("n"), " "); got != want {
			t.Errorf("%s: got %q, want %q", given, got, want)
		}
	}
}
