// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vas-solutus/arca-network/pkg/health"
)

// healthy waits for what arcactl health says of a component.
func (w *world) healthy(ts *testscript.TestScript, args []string) {
	said := regexp.MustCompile("")
	if len(args) > 2 {
		var err error
		said, err = regexp.Compile(args[2])
		ts.Check(err)
	}
	var got health.Component
	for limit := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // nothing tells but an answer
		cmd := exec.Command(strings.Split(ts.Getenv("PATH"), ":")[0]+"/arcactl", "--kubeconfig", w.kubeconfig(), "health", "-o", "json")
		out, _ := cmd.Output() // fails where not all is well
		var report health.Report
		if err := json.Unmarshal(out, &report); err == nil {
			got, _ = report.Component(args[0])
		}
		if string(got.State) == args[1] && said.MatchString(got.Message) {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%s is %q: %q, want %v", args[0], got.State, got.Message, args[1:])
		}
	}
}
