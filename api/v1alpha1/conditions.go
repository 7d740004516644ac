// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Types of conditions. Every object has the first three.
const (
	// ConditionAccepted says whether the spec can be realised beside all the
	// other objects. Where two objects conflict the older one wins.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed says whether the object's rows are committed to the
	// northbound database.
	ConditionProgrammed = "Programmed"
	// ConditionReady says whether traffic can pass.
	ConditionReady = "Ready"
	// ConditionResolvedRefs says whether all that a policy refers to is there. A
	// policy works without: what is not there matches nothing.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionDeleting is set on an object that is being deleted and says
	// what it still waits for.
	ConditionDeleting = "Deleting"
)

// Reasons of ConditionAccepted.
const (
	// ReasonAccepted: nothing stands against the object.
	ReasonAccepted = "Accepted"
	// ReasonSubnetOverlap: a subnet overlaps with that of an older network or
	// with a range that the system itself uses.
	ReasonSubnetOverlap = "SubnetOverlap"
	// ReasonSubnetInUse: the subnets were changed while attachments still hold
	// addresses of the former ones.
	ReasonSubnetInUse = "SubnetInUse"
	// ReasonPoolExhausted: no subnet, or no address, is left to give out.
	ReasonPoolExhausted = "PoolExhausted"
	// ReasonNameConflict: an older object uses the name.
	ReasonNameConflict = "NameConflict"
	// ReasonNetworkNotFound: the attachment's network does not exist (yet).
	ReasonNetworkNotFound = "NetworkNotFound"
	// ReasonNetworkNotAccepted: the attachment's network is not accepted (yet).
	ReasonNetworkNotAccepted = "NetworkNotAccepted"
	// ReasonNetworkDeleting: the attachment's network is being deleted.
	ReasonNetworkDeleting = "NetworkDeleting"
	// ReasonAddressInUse: another attachment holds the address.
	ReasonAddressInUse = "AddressInUse"
	// ReasonAddressNotUsable: the address is outside the network's subnets, or
	// it is the network's, broadcast, gateway or a reserved address.
	ReasonAddressNotUsable = "AddressNotUsable"
	// ReasonPortInUse: another attachment publishes the host's port, or a
	// process of the host listens on it.
	ReasonPortInUse = "PortInUse"
	// ReasonHostIPNotFound: the host has no such address.
	ReasonHostIPNotFound = "HostIPNotFound"
	// ReasonPortsNotAllowed: ports cannot be published from the network, or
	// not at the address.
	ReasonPortsNotAllowed = "PortsNotAllowed"
	// ReasonMACInUse: another attachment holds the MAC address.
	ReasonMACInUse = "MACInUse"
	// ReasonInvalid: a field of the policy cannot be read; the message names it.
	ReasonInvalid = "Invalid"
	// ReasonPriorityConflict: an older policy of the same priority wants something
	// else for the same traffic of the same endpoints.
	ReasonPriorityConflict = "PriorityConflict"
	// ReasonFamilyMismatch: a peer is of an IP family that the policy's network
	// does not have.
	ReasonFamilyMismatch = "FamilyMismatch"
	// ReasonTooManyRules: a network's rules do not fit into OVN's priorities.
	ReasonTooManyRules = "TooManyRules"
)

// Reasons of ConditionProgrammed and ConditionReady.
const (
	// ReasonProgrammed: the rows are committed.
	ReasonProgrammed = "Programmed"
	// ReasonReady: traffic can pass.
	ReasonReady = "Ready"
	// ReasonResolvedRefs: all that the policy refers to is there.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonNothingSelected: a selector of the policy selects no attachment.
	ReasonNothingSelected = "NothingSelected"
	// ReasonNotAccepted: nothing is done for an object that is not accepted.
	ReasonNotAccepted = "NotAccepted"
	// ReasonPending: work is under way; the message says what it waits for.
	ReasonPending = "Pending"
	// ReasonNorthboundUnavailable: the northbound database does not answer.
	ReasonNorthboundUnavailable = "NorthboundUnavailable"
	// ReasonNetnsNotFound: no network namespace is at the path.
	ReasonNetnsNotFound = "NetnsNotFound"
	// ReasonInterfaceNotFound: no interface of that name exists on the host.
	ReasonInterfaceNotFound = "InterfaceNotFound"
	// ReasonInterfaceConflict: an interface of that name, not ours, is there.
	ReasonInterfaceConflict = "InterfaceConflict"
	// ReasonPortFailed: the port could not be made; the message says why.
	ReasonPortFailed = "PortFailed"
	// ReasonAttachmentsRemain: the network waits for its attachments to go.
	ReasonAttachmentsRemain = "AttachmentsRemain"
	// ReasonCleaningUp: rows or a port are being removed.
	ReasonCleaningUp = "CleaningUp"
)
