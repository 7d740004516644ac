// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/metadata"
	describecmd "k8s.io/kubectl/pkg/cmd/describe"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/describe"
)

// eventsTimeout bounds the reads of one object's events.
const eventsTimeout = 15 * time.Second

// describeCommand is kubectl's, with events of the group events.k8s.io. kubectl asks the
// core group, which has none in the embedded API; Kubernetes keeps the same under both.
func describeCommand(parent string, f cmdutil.Factory, streams genericiooptions.IOStreams) *cobra.Command {
	describe.DescriberFn = func(getter genericclioptions.RESTClientGetter, mapping *meta.RESTMapping) (describe.ResourceDescriber, error) {
		content, err := describe.Describer(getter, mapping)
		if err != nil {
			return nil, err
		}
		return eventsDescriber{content, getter, mapping}, nil
	}
	return describecmd.NewCmdDescribe(parent, f, streams)
}

// eventsDescriber describes an object and its events.
type eventsDescriber struct {
	content describe.ResourceDescriber
	getter  genericclioptions.RESTClientGetter
	mapping *meta.RESTMapping
}

// Describe implements describe.ResourceDescriber. As with kubectl, events that cannot be
// read are left out.
func (d eventsDescriber) Describe(namespace, name string, settings describe.DescriberSettings) (string, error) {
	show := settings.ShowEvents
	settings.ShowEvents = false
	out, err := d.content.Describe(namespace, name, settings)
	if err != nil || !show {
		return out, err
	}
	events, err := d.events(namespace, name)
	if err != nil {
		return out, nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	describe.DescribeEvents(events, describe.NewPrefixWriter(w))
	w.Flush()
	return out + b.String(), nil
}

// events are those about an object, not about one of its name that was there before, in
// the form in which kubectl prints them.
func (d eventsDescriber) events(namespace, name string) (*corev1.EventList, error) {
	ctx, cancel := context.WithTimeout(context.Background(), eventsTimeout)
	defer cancel()
	config, err := d.getter.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	// The embedded API does not have protobuf for events.
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	client, err := eventsclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	o, err := objects.Resource(d.mapping.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	list, err := client.Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("regarding.uid", string(o.GetUID())).String(),
	})
	if err != nil {
		return nil, err
	}
	out := &corev1.EventList{}
	for i := range list.Items {
		out.Items = append(out.Items, coreEvent(&list.Items[i]))
	}
	return out, nil
}

// coreEvent is what kubectl prints of an event. Its order is that of LastTimestamp.
func coreEvent(e *eventsv1.Event) corev1.Event {
	out := corev1.Event{
		Type: e.Type, Reason: e.Reason, Message: e.Note, InvolvedObject: e.Regarding,
		EventTime: e.EventTime, FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp,
		Count: e.DeprecatedCount, Source: e.DeprecatedSource, ReportingController: e.ReportingController,
	}
	if out.LastTimestamp.IsZero() {
		out.LastTimestamp = metav1.Time(e.EventTime)
	}
	if e.Series != nil {
		out.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
		out.LastTimestamp = metav1.Time(e.Series.LastObservedTime)
	}
	return out
}
