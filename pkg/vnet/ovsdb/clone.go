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

// CloneModel implements model.CloneableModel.
func (r *Bridge) CloneModel() model.Model {
	c := new(Bridge)
	r.CloneModelInto(c)
	return c
}

// CloneModelInto implements model.CloneableModel.
func (r *Bridge) CloneModelInto(to model.Model) { cloneInto(r, to.(*Bridge)) }

// CloneModel implements model.CloneableModel.
func (r *OpenvSwitch) CloneModel() model.Model {
	c := new(OpenvSwitch)
	r.CloneModelInto(c)
	return c
}

// CloneModelInto implements model.CloneableModel.
func (r *OpenvSwitch) CloneModelInto(to model.Model) { cloneInto(r, to.(*OpenvSwitch)) }

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
			cloneNamed(v.Field(i))
		}
	}
}

// cloneNamed copies a field of a named type, such as an optional enumeration, or
// of a map by number.
func cloneNamed(f reflect.Value) {
	switch {
	case f.Kind() == reflect.String:
	case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.String:
		if !f.IsNil() {
			c := reflect.New(f.Type().Elem())
			c.Elem().Set(f.Elem())
			f.Set(c)
		}
	case f.Kind() == reflect.Map && f.Type().Elem().Kind() == reflect.String:
		if !f.IsNil() {
			c := reflect.MakeMapWithSize(f.Type(), f.Len())
			for _, k := range f.MapKeys() {
				c.SetMapIndex(k, f.MapIndex(k))
			}
			f.Set(c)
		}
	case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.String:
		if !f.IsNil() {
			f.Set(reflect.AppendSlice(reflect.MakeSlice(f.Type(), 0, f.Len()), f))
		}
	default:
		panic("ovsdb: clone of a field of unknown type " + f.Type().String())
	}
}

func clonePtr[V any](p *V) *V {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
