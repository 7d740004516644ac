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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/vas-solutus/arca-network/pkg/health"
)

// healthTimeout bounds the question.
const healthTimeout = 15 * time.Second

func healthCommand(f cmdutil.Factory, streams genericiooptions.IOStreams) *cobra.Command {
	var output, url string
	c := &cobra.Command{
		Use:   "health",
		Short: "Show how arca-network and what it depends on are doing",
		Long: `health shows what arca-network has last measured of each of its components, and what
still works where one does not. It ends with status 1 where the whole is not OK.

It asks the embedded API that the kubeconfig names. Where objects are kept in another
API, start arca-network with --health-bind-address and name that address by --url.`,
		Example: `  arcactl health
  arcactl health -o json
  arcactl health --url http://127.0.0.1:8081`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output: %q: must be json, or left out for a table", output)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
			defer cancel()
			report, err := fetchReport(ctx, f, url)
			if err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(streams.Out)
				enc.SetIndent("", "  ")
				err = enc.Encode(report)
			} else {
				err = printReport(streams.Out, report, time.Now())
			}
			if err == nil && report.State != health.OK {
				return cmdutil.ErrExit
			}
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json, for programs; a table if left out")
	c.Flags().StringVar(&url, "url", "", "address of arca-network's --health-bind-address, for example http://127.0.0.1:8081 (default: the API of the kubeconfig)")
	return c
}

func fetchReport(ctx context.Context, f cmdutil.Factory, url string) (health.Report, error) {
	var report health.Report
	config := &rest.Config{Host: url}
	if url == "" {
		var err error
		if config, err = f.ToRESTConfig(); err != nil {
			return report, err
		}
	}
	config = rest.CopyConfig(config)
	config.GroupVersion, config.NegotiatedSerializer = &schema.GroupVersion{}, scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return report, err
	}
	raw, err := client.Get().AbsPath(health.Path).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return report, errors.New("the API of the kubeconfig is not arca-network's own: start arca-network with --health-bind-address, and name that address by --url")
	}
	if err != nil {
		return report, fmt.Errorf("asking for health: %w", err)
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return report, fmt.Errorf("reading the report: %w", err)
	}
	return report, nil
}

func printReport(w io.Writer, r health.Report, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COMPONENT\tSTATE\tSINCE\tROUND-TRIP\tMESSAGE")
	for _, c := range r.Components {
		trip := "-"
		if c.RoundTrip.Duration > 0 {
			trip = c.RoundTrip.Round(10 * time.Microsecond).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.State, duration.HumanDuration(now.Sub(c.Since.Time)), trip, c.Message)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s for %s", r.State, duration.HumanDuration(now.Sub(r.Since.Time)))
	if r.Message != "" {
		fmt.Fprintf(w, ": %s", r.Message)
	}
	if len(r.StillWorks) > 0 {
		fmt.Fprintf(w, "\nWhat still works: %s", strings.Join(r.StillWorks, "; "))
	}
	_, err := fmt.Fprintln(w)
	return err
}
