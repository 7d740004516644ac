// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
	"github.com/vas-solutus/arca-network/internal/testns"
	"github.com/vas-solutus/arca-network/pkg/control"
)

// Network i has a /24 with ten containers from .2 on; container j of it has one
// attachment.

// perNetwork is the number of containers of each network that run on this host.
// The others run elsewhere: OVN knows their ports, and no interface is made. It
// is set once for a size.
var perNetwork = 10

// onThisHost bounds how many containers run here: ovs-vswitchd's userspace
// datapath looks at every port that it has whenever one is added.
func onThisHost(networks int) int { return max(1, min(10, *here/networks)) }

func isHere(j int) bool { return j < perNetwork || j >= 10 }

// elsewhere is the node of the containers that do not run here.
const elsewhere = "elsewhere"

func networkName(i int) string      { return fmt.Sprint("net", i) }
func containerName(i, j int) string { return fmt.Sprintf("att%d-%d", i, j) }

// attachmentName is the name that the control API gives to an attachment.
func attachmentName(i, j int) string { return containerName(i, j) + "." + networkName(i) }
func subnet(i int) string            { return fmt.Sprintf("10.%d.%d.0/24", i/256, i%256) }
func gateway(i int) string           { return fmt.Sprintf("10.%d.%d.1", i/256, i%256) }
func address(i, j int) string        { return fmt.Sprintf("10.%d.%d.%d", i/256, i%256, j+2) }
func uid(name string) types.UID {
	return types.UID(uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String())
}
func hardwareAddress(i, j int) string {
	return fmt.Sprintf("02:00:%02x:%02x:00:%02x", i/256, i%256, j+2)
}

// manager is whose objects all of them are.
const manager = "bench"

func managed() map[string]string { return map[string]string{control.ManagerLabel: manager} }

// networkObject is a network as the API would have it, with its status.
func networkObject(i int) *v1alpha1.Network {
	return &v1alpha1.Network{
		ObjectMeta: metav1.ObjectMeta{Name: networkName(i), UID: uid(networkName(i)), Labels: managed()},
		Spec:       v1alpha1.NetworkSpec{Subnets: []v1alpha1.Subnet{{CIDR: subnet(i)}}},
		Status:     v1alpha1.NetworkStatus{Subnets: []v1alpha1.SubnetStatus{{CIDR: subnet(i), Gateway: gateway(i)}}},
	}
}

// attachmentObject is an attachment as the API would have it, with its status.
func attachmentObject(i, j int) *v1alpha1.Attachment {
	name := containerName(i, j)
	a := &v1alpha1.Attachment{
		ObjectMeta: metav1.ObjectMeta{Name: attachmentName(i, j), UID: uid(name), Labels: managed()},
		Spec: v1alpha1.AttachmentSpec{
			Network:   networkName(i),
			Container: v1alpha1.Container{ID: name, Name: name},
			Addresses: []string{address(i, j)},
			Interface: v1alpha1.Interface{Type: v1alpha1.InterfaceVeth, Netns: testns.Path(name)},
		},
		Status: v1alpha1.AttachmentStatus{
			Addresses: []string{address(i, j) + "/24"},
			Gateways:  []string{gateway(i)},
			MAC:       hardwareAddress(i, j),
		},
	}
	if !isHere(j) {
		a.Spec.Node = elsewhere
	}
	return a
}
