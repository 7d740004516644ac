// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// KindPolicy is the owner kind of the rows of all policies.
const KindPolicy = "Policy"

// Owner owns the rows of all policies together: what one policy means depends
// on the others beside it, and one transaction brings all of them from one
// meaning to the next.
func Owner() ovnsync.Owner {
	return ovnsync.Owner{Kind: KindPolicy, Name: "policies", UID: "policies"}
}

const (
	setInternet4 = "arca_internet4"
	setInternet6 = "arca_internet6"
	// meterName is the meter of log lines.
	meterName = "arca-acl-log"
)

// selectedSet is the name, less the family, of the address sets of the
// endpoints that a selector selects, and selectedIn of those in one network.
func selectedSet(key string) string { return "arca_sel_" + key }
func selectedIn(key, networkUID string) string {
	return selectedSet(key) + "_" + strings.ReplaceAll(networkUID, "-", "")
}

// Row IDs.
func setID(name, family string) string                 { return name + "_" + family }
func aclID(network, what string) string                { return "policy/" + network + "/" + what }
func ruleID(network string, r *rule) string            { return aclID(network, r.id()) }
func namedID(network string, r *rule, s string) string { return aclID(network, r.id()+"/"+s) }
func mirrorID(network string, r *rule) string          { return aclID(network, "mirror/"+r.id()) }

// Gate is the row that is there when the ACLs of a network are: a port of a
// network with policies is not made before it.
func Gate(network string) ovnsync.Reference {
	return ovnsync.Reference{Table: nbdb.ACLTable, ID: aclID(network, "network")}
}

// Memberships puts an endpoint's address (without a prefix length) into the
// sets of a selector; in tells that policies are for the selected endpoints of
// its network.
func Memberships(key, networkUID string, in bool, address string) []ovnsync.Member {
	family := "4"
	if strings.Contains(address, ":") {
		family = "6"
	}
	member := func(set string) ovnsync.Member {
		return ovnsync.Member{Table: nbdb.AddressSetTable, ID: setID(set, family), Column: "addresses", Value: address}
	}
	out := []ovnsync.Member{member(selectedSet(key))}
	if in {
		out = append(out, member(selectedIn(key, networkUID)))
	}
	return out
}

// maxName is the most bytes that OVN takes for an ACL's name.
const maxName = 63

// logName is how a rule is called in log lines: policy/ingress[0].
func logName(policy, direction string, index int) string {
	suffix := fmt.Sprintf("/%s[%d]", direction, index)
	if len(policy)+len(suffix) > maxName {
		sum := sha256.Sum256([]byte(policy))
		mark := "~" + hex.EncodeToString(sum[:4])
		policy = policy[:maxName-len(suffix)-len(mark)] + mark
	}
	return policy + suffix
}
