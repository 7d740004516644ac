// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// ManagerLabel holds the name of the manager that keeps an object by Sync.
const ManagerLabel = "network.arca.dev/manager"

// madeByAnnotation marks what a call made. Policies of SetNetworkPolicy go with their
// network, and no other policy may be replaced; what a call made and the next one finds
// refused does not stay.
const madeByAnnotation = "network.arca.dev/made-by"

const madeByControl = "control"

// object is an API object with conditions.
type object interface {
	client.Object
	GetConditions() *[]metav1.Condition
}

// kind names the objects of a kind, for people and as a key.
type kind string

const (
	kindNetwork    kind = "network"
	kindAttachment kind = "attachment"
	kindPolicy     kind = "policy"
)

func kindOf(o client.Object) kind {
	switch o.(type) {
	case *v1alpha1.Network:
		return kindNetwork
	case *v1alpha1.Attachment:
		return kindAttachment
	}
	return kindPolicy
}

// attachmentName is the name of the Attachment object of a container on a network.
func attachmentName(container, network string) string { return container + "." + network }

// checkID tells what is wrong with an id of which an object's name is made.
func checkID(field, id string) []violation {
	if id == "" {
		return []violation{{field, "must be given"}}
	}
	return nameViolations(field, id)
}

func nameViolations(field, name string) []violation {
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return nil
	}
	return []violation{{field, quote(name) + ": must be at most 253 lower case letters, digits, '-' and '.', " +
		"and start and end with a letter or digit"}}
}

func checkManager(field, manager string) []violation {
	if errs := validation.IsValidLabelValue(manager); len(errs) > 0 {
		return []violation{{field, quote(manager) + ": " + strings.Join(errs, "; ")}}
	}
	return nil
}

func checkLabels(field string, labels map[string]string) (out []violation) {
	for k, v := range labels {
		for _, e := range validation.IsQualifiedName(k) {
			out = append(out, violation{field, "key " + quote(k) + ": " + e})
		}
		if isOurs(k) {
			out = append(out, violation{field, "key " + quote(k) + ": keys of network.arca.dev are not free to use"})
		}
		for _, e := range validation.IsValidLabelValue(v) {
			out = append(out, violation{field, "value " + quote(v) + " of " + quote(k) + ": " + e})
		}
	}
	return out
}

// checkAnnotations tells what the API would refuse of them, and keeps our own
// keys from being written.
func checkAnnotations(field string, annotations map[string]string) (out []violation) {
	size := 0
	for k, v := range annotations {
		size += len(k) + len(v)
		for _, e := range validation.IsQualifiedName(strings.ToLower(k)) {
			out = append(out, violation{field, "key " + quote(k) + ": " + e})
		}
		if isOurs(k) {
			out = append(out, violation{field, "key " + quote(k) + ": keys of network.arca.dev are not free to use"})
		}
	}
	if most := apivalidation.TotalAnnotationSizeLimitB - len(madeByAnnotation+madeByControl); size > most {
		out = append(out, violation{field, fmt.Sprintf("have %d bytes, keys and values together; at most %d are allowed", size, most)})
	}
	return out
}

// freeAnnotations are those of an object that clients may set.
func freeAnnotations(o metav1.Object) map[string]string {
	out := map[string]string{}
	for k, v := range o.GetAnnotations() {
		if !isOurs(k) {
			out[k] = v
		}
	}
	return out
}

// marked is an object as a call makes it: with the mark by which later calls know it.
func marked(want object) object {
	o := want.DeepCopyObject().(object)
	annotations := freeAnnotations(o)
	annotations[madeByAnnotation] = madeByControl
	o.SetAnnotations(annotations)
	return o
}

// isOurs tells of a key of labels or annotations that only this project writes.
// The prefixes below, such as docker.network.arca.dev, are the clients'.
func isOurs(key string) bool { return strings.HasPrefix(strings.ToLower(key), "network.arca.dev/") }

// withManager is the labels of an object, with its manager's.
func withManager(labels map[string]string, manager string) map[string]string {
	if manager == "" && len(labels) == 0 {
		return nil
	}
	out := map[string]string{}
	for k, v := range labels {
		out[k] = v
	}
	if manager != "" {
		out[ManagerLabel] = manager
	}
	return out
}

// withoutManager is the labels of an object as the client gave them.
func withoutManager(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if k != ManagerLabel {
			out[k] = v
		}
	}
	return out
}

// quote keeps a long value from filling a message.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return `"` + strings.ToValidUTF8(s[:most], "") + `…"`
	}
	return `"` + s + `"`
}
