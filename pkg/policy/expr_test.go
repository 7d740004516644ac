// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// packet is what expressions look at.
type packet struct {
	srcMAC, dstMAC   string
	src, dst         netip.Addr
	protocol         string // tcp, udp, sctp, icmp
	srcPort, dstPort int
}

// evaluator evaluates the subset of OVN's expression language that matches
// are written in. It knows nothing of how they came to be.
type evaluator struct {
	sets   map[string][]netip.Prefix
	tokens []string
	at     int
	packet packet
}

var token = regexp.MustCompile(`&&|\|\||==|!=|<=|[(){},]|[^\s(){},&|=<!]+`)

// matches tells whether a packet is as an expression says.
func matches(sets map[string][]netip.Prefix, expression string, p packet) bool {
	e := &evaluator{sets: sets, tokens: token.FindAllString(expression, -1), packet: p}
	out := e.or()
	if e.at != len(e.tokens) {
		panic(fmt.Sprintf("%q is not understood from %q on", expression, e.tokens[e.at:]))
	}
	return out
}

func (e *evaluator) peek() string {
	if e.at < len(e.tokens) {
		return e.tokens[e.at]
	}
	return ""
}

func (e *evaluator) next() string { t := e.peek(); e.at++; return t }

func (e *evaluator) or() bool {
	out, mixed := e.and(), false
	for e.peek() == "||" {
		e.next()
		right := e.and()
		out, mixed = out || right, true
	}
	if mixed && e.peek() == "&&" {
		panic("&& and || are mixed without parentheses, which OVN refuses")
	}
	return out
}

func (e *evaluator) and() bool {
	out, mixed := e.term(), false
	for e.peek() == "&&" {
		e.next()
		right := e.term()
		out, mixed = out && right, true
	}
	if mixed && e.peek() == "||" {
		panic("&& and || are mixed without parentheses, which OVN refuses")
	}
	return out
}

func (e *evaluator) term() bool {
	t := e.next()
	if t == "(" {
		out := e.or()
		if e.next() != ")" {
			panic("a parenthesis is not closed")
		}
		return out
	}
	if low, err := strconv.Atoi(t); err == nil { // 1 <= tcp.dst <= 5
		e.next()
		field := e.next()
		e.next()
		high, _ := strconv.Atoi(e.next())
		port, ok := e.port(field)
		return ok && low <= port && port <= high
	}
	if e.peek() != "==" && e.peek() != "!=" {
		return e.is(t)
	}
	differs := e.next() == "!="
	var values []string
	if e.peek() == "{" {
		e.next()
		for {
			values = append(values, e.next())
			if e.next() == "}" {
				break
			}
		}
	} else {
		values = []string{e.next()}
	}
	return slices.ContainsFunc(values, func(v string) bool { return e.equal(t, v) }) != differs
}

func (e *evaluator) is(predicate string) bool {
	p := e.packet
	switch predicate {
	case "ip4":
		return p.src.Is4()
	case "ip6":
		return p.src.Is6()
	case "icmp4":
		return p.protocol == "icmp" && p.src.Is4()
	case "icmp6":
		return p.protocol == "icmp" && p.src.Is6()
	case "tcp", "udp", "sctp":
		return p.protocol == predicate
	}
	panic("unknown predicate " + predicate)
}

func (e *evaluator) port(field string) (int, bool) {
	protocol, end, _ := strings.Cut(field, ".")
	if end == "src" {
		return e.packet.srcPort, e.packet.protocol == protocol
	}
	return e.packet.dstPort, e.packet.protocol == protocol
}

func (e *evaluator) equal(field, value string) bool {
	switch field {
	case "outport":
		return false // the model's packets stay between networks, and no rule names their ports
	case "eth.src":
		return e.packet.srcMAC == value
	case "eth.dst":
		return e.packet.dstMAC == value
	case "ip4.src", "ip6.src":
		return e.in(field, e.packet.src, value)
	case "ip4.dst", "ip6.dst":
		return e.in(field, e.packet.dst, value)
	}
	port, ok := e.port(field)
	n, err := strconv.Atoi(value)
	if err != nil {
		panic(field + " is compared with " + value)
	}
	return ok && port == n
}

func (e *evaluator) in(field string, a netip.Addr, value string) bool {
	if a.Is4() != strings.HasPrefix(field, "ip4") {
		return false
	}
	if name, ok := strings.CutPrefix(value, "$"); ok {
		set, known := e.sets[name]
		if !known {
			panic("there is no address set " + name)
		}
		return slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !strings.Contains(value, "/") {
		return netip.MustParseAddr(value) == a
	}
	return netip.MustParsePrefix(value).Contains(a)
}
