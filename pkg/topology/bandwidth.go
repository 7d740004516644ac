// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/ovnsync/nbdb"
)

// priorityBandwidth is that of all rules of quality of service: no two match
// one packet in one direction.
const priorityBandwidth = 1000

// bandwidth returns the rows of an attachment's limits. OVN makes a meter of
// each, which drops what is beyond it.
func bandwidth(a *v1alpha1.Attachment) []ovnsync.Row {
	b := a.Spec.Bandwidth
	if b == nil {
		return nil
	}
	port := "\"" + PortName(a.UID) + "\""
	var rows []ovnsync.Row
	if b.Ingress != nil {
		rows = append(rows, limit(a, "ingress", nbdb.QoSDirectionToLport, "outport == "+port, *b.Ingress))
	}
	if b.Egress != nil {
		rows = append(rows, limit(a, "egress", nbdb.QoSDirectionFromLport, "inport == "+port, *b.Egress))
	}
	return rows
}

func limit(a *v1alpha1.Attachment, what string, direction nbdb.QoSDirection, match string, l v1alpha1.BandwidthLimit) ovnsync.Row {
	return ovnsync.Row{
		ID: bandwidthID(a.UID, what),
		Model: &nbdb.QoS{
			Direction: direction,
			Priority:  priorityBandwidth,
			Match:     match,
			Bandwidth: map[string]int{
				nbdb.QoSBandwidthRate:  kilobits(l.Rate),
				nbdb.QoSBandwidthBurst: kilobits(l.EffectiveBurst()),
			},
		},
		Columns: qosColumns,
		Members: []ovnsync.Member{{Table: nbdb.LogicalSwitchTable, ID: switchID(a.Spec.Network), Column: "qos_rules"}},
	}
}

func bandwidthID(attachment types.UID, what string) string { return portID(attachment) + "/" + what }

// kilobits is OVN's unit. A part of one counts as a whole: none would be no limit.
func kilobits(bits int64) int { return int((bits + 999) / 1000) }
