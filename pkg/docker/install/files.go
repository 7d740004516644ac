// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"path"
	"path/filepath"
	"strings"

	"github.com/vas-solutus/arca-network/pkg/topology"
)

// Options say what the services are to run.
type Options struct {
	// Arcad and Network are the paths of the programs.
	Arcad, Network string
	// NetworkFlags and ArcadFlags are added to their commands.
	NetworkFlags, ArcadFlags []string
	// Target is where arca-network serves the control API.
	Target string
	// Engine is the Docker Engine's socket.
	Engine string
	// PluginSocket is where arcad serves the engine's driver.
	PluginSocket string
}

// file is one that is written.
type file struct {
	path string
	// content is what it says, without the mark.
	content string
	// mark puts a mark into the content.
	mark func(content, mark string) string
}

// engineFolder is where an engine looks for sockets of drivers by itself.
const engineFolder = "/run/docker/plugins"

const unitFolder = "/etc/systemd/system"

// files are all files, in the order in which they are told of.
func files(o Options) []file {
	out := []file{
		{filepath.Join(unitFolder, "arca-network.service"), networkUnit(o), comment},
		{filepath.Join(unitFolder, "arcad.service"), arcadUnit(o), comment},
	}
	socket := strings.TrimPrefix(o.PluginSocket, "unix://")
	if path.Dir(socket) != engineFolder || path.Base(socket) != "arca.sock" {
		out = append(out, specFile(o.PluginSocket))
	}
	return out
}

// specFile tells an engine of a driver whose socket is elsewhere.
func specFile(socket string) file {
	return file{"/etc/docker/plugins/arca.json", socket, func(content, mark string) string {
		raw, err := json.MarshalIndent(struct{ Name, Addr, WrittenBy string }{"arca", content, mark}, "", "  ")
		if err != nil {
			panic(err) // three strings
		}
		return string(raw) + "\n"
	}}
}

func comment(content, mark string) string { return "# " + mark + "\n" + content }

// networkUnit: the OVS and OVN daemons that arca-network starts go on when it ends,
// and so does all traffic; systemd must not end them.
func networkUnit(o Options) string {
	return `[Unit]
Description=Arca networking: networks of containers and micro-VMs on OVN and Open vSwitch
After=network.target
Before=docker.service

[Service]
ExecStart=` + command(o.Network, append([]string{"run", "--listen", o.Target}, o.NetworkFlags...)) + `
KillMode=process
Restart=always
RestartSec=1
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`
}

// openForward lets pass what the host forwards to and from the uplink. An engine
// has the host drop what is not of its own networks, but for what the chain
// DOCKER-USER accepts, which it leaves to others: it keeps the rules of one that it
// finds. They stay when arcad ends, for traffic goes on.
const openForward = `for table in iptables ip6tables; do $table -w -N DOCKER-USER; for way in -i -o; do ` +
	`$table -w -C DOCKER-USER $way ` + topology.UplinkInterface + ` -j ACCEPT || $table -w -I DOCKER-USER $way ` + topology.UplinkInterface + ` -j ACCEPT; done; done 2>/dev/null`

// arcadUnit: the driver is there before the engine looks for it.
func arcadUnit(o Options) string {
	args := append([]string{"run", "--target", o.Target, "--engine", o.Engine, "--plugin-socket", o.PluginSocket}, o.ArcadFlags...)
	return `[Unit]
Description=Arca networking: the Docker API and the engine's network driver
Wants=arca-network.service
After=network.target arca-network.service
Before=docker.service

[Service]
Type=notify
ExecStartPre=-` + command("/bin/sh", []string{"-c", openForward}) + `
ExecStart=` + command(o.Arcad, args) + `
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`
}

// command is a command line as systemd reads it.
func command(program string, args []string) string {
	out := make([]string, 0, len(args)+1)
	for _, a := range append([]string{program}, args...) {
		out = append(out, quote(a))
	}
	return strings.Join(out, " ")
}

var special = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`)

func quote(s string) string {
	escaped := special.Replace(s)
	if escaped != s || s == "" || strings.ContainsAny(s, " \t';") {
		return `"` + escaped + `"`
	}
	return s
}
