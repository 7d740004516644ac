// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovsdb

import (
	"maps"
	"reflect"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/model"
)

// libovsdb copies a row with each read and twice with each change of it; without
// these methods it does so by way of JSON (11 µs and 60 allocations for an
// Interface instead of under 1 µs).

// CloneModel implements model.CloneableModel.
func (r *Interface) CloneModel() model.Model {
	c := new(Interface)
	r.CloneModelInto(c)
	return c
}

// CloneModelInto implements model.CloneableModel.
func (r *Interface) CloneModelInto(to model.Model) { cloneInto(r, to.(*Interface)) }

// CloneModel implements model.CloneableModel.
func (r *Port) CloneModel() model.Model {
	c := new(Port)
	r.CloneModelInto(c)
	return c
}

// CloneModelInto implements model.CloneableModel.
func (r *Port) CloneModelInto(to model.Model) { cloneInto(r, to.(*Port)) }

// cloneInto copies the struct and what its fields refer to. The kinds of fields
// are those that modelgen writes.
func cloneInto[T any](from, to *T) {
	*to = *from
	v := reflect.ValueOf(to).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case *map[string]string:
			*f = maps.Clone(*f)
		case *map[string]int:
			*f = maps.Clone(*f)
		case *[]string:
			*f = slices.Clone(*f)
		case *[]int:
			*f = slices.Clone(*f)
		case **string:
			*f = clonePtr(*f)
		case **int:
			*f = clonePtr(*f)
		case **bool:
			*f = clonePtr(*f)
		case *string, *int, *bool:
		default:
			panic("ovsdb: clone of a field of unknown type " + v.Field(i).Type().String())
		}
	}
}

func clonePtr[V any](p *V) *V {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
