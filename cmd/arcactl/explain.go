// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/explain"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/diagnose"
)

// explainTimeout bounds the reads of one explanation.
const explainTimeout = 15 * time.Second

// explainCommand explains an object (KIND/NAME), or like kubectl a field
// (KIND.FIELD).
func explainCommand(f cmdutil.Factory, streams genericiooptions.IOStreams) *cobra.Command {
	fields := explain.NewCmdExplain("arcactl", f, streams)
	document := fields.Run
	fields.Use = "explain KIND/NAME | KIND[.FIELD]"
	fields.Short = "Explain why an object is not ready, or what a field means"
	fields.Long = `explain KIND/NAME goes through what must be true for a network, attachment or policy to be
ready, in order, and says what to do about what is not. It ends with status 1 where the
object is not ready.

explain KIND[.FIELD] shows what a field means, as kubectl does.`
	fields.Example = `  arcactl explain attachment/web-1
  arcactl explain network web -o yaml
  arcactl explain policy/db
  arcactl explain attachments.spec.interface`
	fields.RunE = func(cmd *cobra.Command, args []string) error {
		kind, name, ok := objectName(args)
		if !ok {
			document(cmd, args)
			return nil
		}
		output := cmd.Flag("output")
		write, ok := findingsPrinters[output.Value.String()]
		if !ok {
			return fmt.Errorf("--output: %q: must be json or yaml, or left out for a table", output.Value)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), explainTimeout)
		defer cancel()
		findings, err := findings(ctx, f, kind, name)
		if err != nil {
			return err
		}
		err = write(streams.Out, findings)
		if err == nil && !diagnose.Ready(findings) {
			return cmdutil.ErrExit
		}
		return err
	}
	fields.Run = nil
	fields.Flag("output").Usage = "json or yaml for what is found of an object; plaintext or plaintext-openapiv2 for what a field means"
	return fields
}

// objectName reads "kind/name" or "kind name".
func objectName(args []string) (kind, name string, ok bool) {
	if len(args) == 2 {
		return args[0], args[1], true
	}
	if len(args) == 1 {
		kind, name, ok = strings.Cut(args[0], "/")
	}
	return kind, name, ok && kind != "" && name != ""
}

func findings(ctx context.Context, f cmdutil.Factory, kind, name string) ([]diagnose.Finding, error) {
	config, err := f.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(kind) {
	case "network", "networks", "net":
		n := &v1alpha1.Network{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, n); err != nil {
			return nil, err
		}
		return diagnose.Network(n), nil
	case "attachment", "attachments", "att":
		a := &v1alpha1.Attachment{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, a); err != nil {
			return nil, err
		}
		n := &v1alpha1.Network{}
		if err := c.Get(ctx, client.ObjectKey{Name: a.Spec.Network}, n); apierrors.IsNotFound(err) {
			n = nil
		} else if err != nil {
			return nil, err
		}
		return diagnose.Attachment(a, n), nil
	case "policy", "policies", "pol":
		p, all, attachments := &v1alpha1.Policy{}, &v1alpha1.PolicyList{}, &v1alpha1.AttachmentList{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, p); err != nil {
			return nil, err
		}
		if err := errors.Join(c.List(ctx, all), c.List(ctx, attachments)); err != nil {
			return nil, err
		}
		return diagnose.Policy(p, all.Items, attachments.Items), nil
	}
	return nil, fmt.Errorf("kind %q: must be network, attachment or policy", kind)
}

// findingsPrinters are the forms of an explanation. kubectl's for fields, which is
// the default, is a table here.
var findingsPrinters = map[string]func(io.Writer, []diagnose.Finding) error{
	"plaintext": printFindings,
	"json": func(w io.Writer, findings []diagnose.Finding) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	},
	"yaml": func(w io.Writer, findings []diagnose.Finding) error {
		out, err := yaml.Marshal(findings)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	},
}

func printFindings(w io.Writer, findings []diagnose.Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		mark := "ok"
		if !f.OK {
			mark = "NO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark, f.What, f.Found)
		if f.Do != "" {
			fmt.Fprintf(t, "\t\t→ %s\n", f.Do)
		}
	}
	return t.Flush()
}
