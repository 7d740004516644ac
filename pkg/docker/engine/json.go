// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// object is a JSON object whose members keep their order, and their bytes unless
// they are set. What an API has that this package does not know stays as it is.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// parseObject reads an object, and tells what follows it.
func parseObject(data []byte) (o object, rest []byte, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	token, err := decoder.Token()
	if err != nil {
		return nil, nil, err
	}
	if token != json.Delim('{') {
		return nil, nil, fmt.Errorf("it is not an object")
	}
	o = object{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, nil, err
		}
		o = append(o, member{name.(string), value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, nil, err
	}
	return o, data[decoder.InputOffset():], nil
}

// encode writes the object.
func (o object) encode() json.RawMessage {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(encode(m.name))
		out.WriteByte(':')
		out.Write(m.value)
	}
	out.WriteByte('}')
	return out.Bytes()
}

// index finds a member as the engine does: whatever its letters' case is. One
// that is given twice is refused, for which of them counts depends on its type.
func (o object) index(name string) (int, error) {
	found := -1
	for i, m := range o {
		if !strings.EqualFold(m.name, name) {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("%s is given more than once", name)
		}
		found = i
	}
	return found, nil
}

// get returns a member, or nil where there is none or it is null or given twice.
func (o object) get(name string) json.RawMessage {
	i, err := o.index(name)
	if err != nil || i < 0 || string(o[i].value) == "null" {
		return nil
	}
	return o[i].value
}

// text returns a member that is a string.
func (o object) text(name string) string {
	var s string
	if v := o.get(name); v == nil || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// set replaces a member, or adds it.
func (o *object) set(name string, value json.RawMessage) {
	if i, err := o.index(name); err == nil && i >= 0 {
		(*o)[i].value = value
		return
	}
	*o = append(*o, member{name, value})
}

// drop removes a member.
func (o *object) drop(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return strings.EqualFold(m.name, name) })
}

// encode writes any value of ours, without escaping what HTML would need.
func encode(v any) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // strings, numbers and lists of them
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

// texts returns a member that is a list of strings.
func (o object) texts(name string) []string {
	var list []string
	if v := o.get(name); v == nil || json.Unmarshal(v, &list) != nil {
		return nil
	}
	return list
}

// options returns an endpoint's options for its driver. Their names are keys:
// case matters in them.
func (o object) options() object {
	options, _, err := parseObject(o.get("DriverOpts"))
	if err != nil {
		return object{}
	}
	return options
}

// setOptions replaces an endpoint's options.
func (o *object) setOptions(options object) {
	if len(options) == 0 {
		o.drop("DriverOpts")
		return
	}
	o.set("DriverOpts", options.encode())
}

// put sets a key to a text, or removes it.
func (o *object) put(key, value string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == key })
	if value != "" {
		*o = append(*o, member{key, encode(value)})
	}
}

// part returns a member that is an object.
func (o object) part(name string) object {
	part, _, err := parseObject(o.get(name))
	if err != nil {
		return nil
	}
	return part
}
