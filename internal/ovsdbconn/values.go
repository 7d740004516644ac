// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovsdbconn

import (
	"reflect"
	"sync"

	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Column returns a row's value of a column, or the zero Value where its type
// does not have it.
func Column(m model.Model, name string) reflect.Value {
	v := reflect.ValueOf(m).Elem()
	known, found := fields.Load(v.Type())
	if !found {
		of := map[string]int{}
		for i := range v.NumField() {
			of[v.Type().Field(i).Tag.Get("ovsdb")] = i
		}
		known, _ = fields.LoadOrStore(v.Type(), of)
	}
	i, found := known.(map[string]int)[name]
	if !found {
		return reflect.Value{}
	}
	return v.Field(i)
}

// fields are the columns of each type of row, as a map[string]int of its fields.
var fields sync.Map

// Empty tells whether a column's value is the one that a new row has where none is
// given (RFC 7047, 5.2.1).
func Empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Invalid:
		return false
	}
	return v.IsZero()
}

// Map returns a column of string pairs.
func Map(m model.Model, name string) map[string]string {
	v := Column(m, name)
	if !v.IsValid() {
		return nil
	}
	pairs, _ := v.Interface().(map[string]string)
	return pairs
}

// Set returns a column of strings or references.
func Set(m model.Model, name string) []string {
	v := Column(m, name)
	if !v.IsValid() {
		return nil
	}
	values, _ := v.Interface().([]string)
	return values
}

// Mutate is an operation that changes one set or map of a row.
func Mutate(table, id, column string, mutator ovsdb.Mutator, value any) ovsdb.Operation {
	return ovsdb.Operation{
		Op: ovsdb.OperationMutate, Table: table, Where: ByUUID(id),
		Mutations: []ovsdb.Mutation{{Column: column, Mutator: mutator, Value: value}},
	}
}

// ByUUID is the condition that finds one row.
func ByUUID(id string) []ovsdb.Condition {
	return []ovsdb.Condition{{Column: "_uuid", Function: ovsdb.ConditionEqual, Value: ovsdb.UUID{GoUUID: id}}}
}

// Reference is a set of one reference, by UUID or named UUID.
func Reference(id string) ovsdb.OvsSet {
	return ovsdb.OvsSet{GoSet: []any{ovsdb.UUID{GoUUID: id}}}
}

// Pairs is a map of strings.
func Pairs(in map[string]string) ovsdb.OvsMap {
	out := make(map[any]any, len(in))
	for k, v := range in {
		out[k] = v
	}
	return ovsdb.OvsMap{GoMap: out}
}
