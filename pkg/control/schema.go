// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/vas-solutus/arca-network/config/crd"
)

// schema checks objects as the API does, before anything is written: a request
// with several objects is right as a whole or changes nothing, and a wrong one
// is told all that is wrong with it.
type schema struct{ kinds map[kind]*kindSchema }

type kindSchema struct {
	structural *structuralschema.Structural
	fields     validation.SchemaValidator
	rules      func() *cel.Validator // made when first asked for: megabytes
}

func newSchema() (*schema, error) {
	crds, err := crd.All()
	if err != nil {
		return nil, err
	}
	s := &schema{kinds: map[kind]*kindSchema{}}
	for _, c := range crds {
		k, err := newKindSchema(c)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", c.Name, err)
		}
		s.kinds[kind(c.Spec.Names.Singular)] = k
	}
	return s, nil
}

func newKindSchema(c *apiextensionsv1.CustomResourceDefinition) (*kindSchema, error) {
	props := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		c.Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil); err != nil {
		return nil, err
	}
	k := &kindSchema{}
	var err error
	if k.structural, err = structuralschema.NewStructural(props); err != nil {
		return nil, err
	}
	if k.fields, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, err
	}
	k.rules = sync.OnceValue(func() *cel.Validator { return cel.NewValidator(k.structural, true, celconfig.PerCallLimit) })
	return k, nil
}

// check tells what the API would refuse of a new object, in the request's words.
func (s *schema) check(ctx context.Context, o object, fields fieldMap) ([]violation, error) {
	k := s.kinds[kindOf(o)]
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	errs := validation.ValidateCustomResource(nil, content, k.fields)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, content)...)
	if !blocking(errs) {
		if rules := k.rules(); rules != nil {
			found, _ := rules.Validate(ctx, nil, k.structural, content, nil, celconfig.RuntimeCELCostBudget)
			errs = append(errs, found...)
		}
	}
	var out []violation
	for _, e := range errs {
		out = append(out, violation{fields.request(e.Field), e.ErrorBody()})
	}
	return out, nil
}

// blocking tells whether rules cannot be tried because a value has not the form
// that they count on.
func blocking(errs field.ErrorList) bool {
	for _, e := range errs {
		switch e.Type {
		case field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}
