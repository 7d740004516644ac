// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"
	"unicode"
)

// fieldMap turns the path of an object's field into that of the request's field
// that it was made from. The first entry that is a prefix decides; what follows
// it is in the request's spelling.
type fieldMap []fieldEntry

type fieldEntry struct {
	object, request string
	whole           bool // what follows has no field of its own in the request
}

func (m *fieldMap) add(object, request string) {
	*m = append(*m, fieldEntry{object: object, request: request})
}

func (m *fieldMap) addWhole(object, request string) {
	*m = append(*m, fieldEntry{object: object, request: request, whole: true})
}

func (m fieldMap) request(path string) string {
	for _, e := range m {
		rest, ok := strings.CutPrefix(path, e.object)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if e.whole {
			return e.request
		}
		if e.request == "" {
			rest = strings.TrimPrefix(rest, ".")
		}
		return e.request + snake(rest)
	}
	return snake(strings.TrimPrefix(path, "spec."))
}

// snake spells a path as the proto does.
func snake(path string) string {
	path = strings.ReplaceAll(path, "allocationRange", "ipRange")
	path = strings.ReplaceAll(path, "hostIP", "hostIp")
	path = strings.ReplaceAll(path, "relay.endpoint", "relayEndpoint")
	var b strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// under puts a path's fields below one of a larger request.
func under(prefix string, violations []violation) []violation {
	for i := range violations {
		violations[i].field = prefix + "." + violations[i].field
	}
	return violations
}
