// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	listers "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// fieldManager owns the fields of the definitions that are installed here.
const fieldManager = "arca-network"

// installer puts definitions into an API server.
type installer struct {
	config *rest.Config
	client clientset.Interface
	// seen is what the handlers of the API server know.
	seen listers.CustomResourceDefinitionLister
	// alone is true if no other API server uses the datastore.
	alone bool
}

func newInstaller(a *apiServer, alone bool) (*installer, error) {
	client, err := clientset.NewForConfig(a.config)
	if err != nil {
		return nil, err
	}
	seen := a.server.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister()
	return &installer{config: a.config, client: client, seen: seen, alone: alone}, nil
}

// install installs the definitions, or changes them to what is given, and waits
// until their objects can be read, written, discovered and explained. A
// definition that is already as given is not written.
func (i *installer) install(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	generations := make([]int64, len(crds))
	for n, crd := range crds {
		applied, err := i.apply(ctx, crd)
		if err != nil {
			return fmt.Errorf("installing definition %s: %w", crd.Name, err)
		}
		generations[n] = applied.Generation
	}
	for n, crd := range crds {
		err := poll(ctx, func() (bool, error) { return i.established(ctx, crd.Name, generations[n]) })
		if err != nil {
			return fmt.Errorf("definition %s: waiting for condition Established: %w", crd.Name, err)
		}
	}
	return i.waitServed(ctx, crds)
}

func (i *installer) apply(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) (*apiextensionsv1.CustomResourceDefinition, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		return nil, err
	}
	// The status is the API server's. The rest of the metadata, such as the
	// resource version of where the definition was read from, is not ours.
	delete(content, "status")
	content["metadata"] = map[string]any{"name": crd.Name, "labels": crd.Labels, "annotations": crd.Annotations}
	content["apiVersion"] = apiextensionsv1.SchemeGroupVersion.String()
	content["kind"] = "CustomResourceDefinition"
	data, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	force := true
	return i.client.ApiextensionsV1().CustomResourceDefinitions().Patch(ctx, crd.Name, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
}

// established looks whether the handlers know the definition in the given
// generation, and will serve it.
func (i *installer) established(ctx context.Context, name string, generation int64) (bool, error) {
	crd, err := i.seen.Get(name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if crd.Generation < generation {
		return false, nil
	}
	for n, c := range crd.Status.Conditions {
		switch {
		case c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse:
			return false, fmt.Errorf("its names are not accepted: %s", c.Message)
		case c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue:
			if i.alone && time.Since(c.LastTransitionTime.Time) < settleTime {
				return false, i.backdate(ctx, crd.DeepCopy(), n)
			}
			return true, nil
		}
	}
	return false, nil
}

// settleTime is longer than the two seconds for which the API server holds up
// the creation of objects whose definition is new, so that others that share
// the datastore can learn of it.
const settleTime = 3 * time.Second

// backdate makes a definition look established for longer, since there is
// nobody to wait for: the first object would take two seconds.
func (i *installer) backdate(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition, condition int) error {
	crd.Status.Conditions[condition].LastTransitionTime = metav1.NewTime(time.Now().Add(-2 * settleTime))
	_, err := i.client.ApiextensionsV1().CustomResourceDefinitions().UpdateStatus(ctx, crd, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // tried again with what is there now
	}
	return err
}

// poll tries again until done, an error, or the end of ctx. What it is used for
// has no event: these are parts of the API server that do not tell.
func poll(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// waitServed waits for what follows the condition: the handlers, the discovery
// documents and the schemas are each brought up to date on their own.
func (i *installer) waitServed(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	client, err := discovery.NewDiscoveryClientForConfig(i.config)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			if !version.Served {
				continue
			}
			err := poll(ctx, func() (bool, error) { return isServed(ctx, client, crd, version.Name) })
			if err != nil {
				return fmt.Errorf("definition %s: waiting for version %s to be served: %w", crd.Name, version.Name, err)
			}
		}
	}
	return nil
}

func isServed(ctx context.Context, client *discovery.DiscoveryClient, crd *apiextensionsv1.CustomResourceDefinition, version string) (bool, error) {
	group := crd.Spec.Group + "/" + version
	resources, err := client.ServerResourcesForGroupVersion(group)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == crd.Spec.Names.Plural }) {
		return false, nil
	}
	paths, err := client.OpenAPIV3().Paths()
	if err != nil {
		return false, err
	}
	if _, ok := paths["apis/"+group]; !ok {
		return false, nil
	}
	err = client.RESTClient().Get().AbsPath("/apis", crd.Spec.Group, version, crd.Spec.Names.Plural).
		Param("limit", "1").Do(ctx).Error()
	if apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err) {
		return false, nil
	}
	return err == nil, err
}
