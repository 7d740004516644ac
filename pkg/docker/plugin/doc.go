// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin owns the protocol by which a container engine hands networks,
// endpoints and addresses to a driver of another process: the network driver and
// the IPAM driver "arca" of a stock Docker engine. It translates both into calls
// of the control API and keeps nothing of its own. It must not make an interface
// (whoever wires it does, see Host), nor touch a network or an attachment that it
// has not made.
//
// # What is where, and what kill -9 leaves
//
// The engine makes an endpoint in steps, and replays none of them: it asks the
// IPAM driver for an address, tells the network driver of the endpoint, has it
// join a sandbox, and tells which ports to publish. So each step is in an object
// before it is answered, and may be repeated. (An engine that could not send a call
// sends it again for 30 seconds. One that breaks off it repeats without its body:
// that is refused, and the engine takes back what it has begun.)
//
//	RequestPool      nothing but a proposal: the network does not exist, and
//	                 nobody could tell whose a range would be that outlived the
//	                 engine. It is held in memory against the next proposal.
//	CreateNetwork    the Network, in one write. The range that addresses are
//	                 chosen from is in it, where it is still held; else each
//	                 address is put into it, for the pool's id names it.
//	RequestAddress   the Attachment, with its address, its MAC and its interface.
//	                 The endpoint's id is not known yet, its MAC is: the engine
//	                 chooses one first, because the driver says that it needs it.
//	                 So the attachment is named by the MAC, and is a reservation
//	                 until an endpoint is written into it.
//	CreateEndpoint   the endpoint's id, in an annotation. Where another IPAM
//	                 driver chose the address, the Attachment is made here.
//	Join             nothing: the answer is in the Attachment.
//	ProgramExternal… the published ports, in the Attachment; and the container's
//	                 resolv.conf, which follows from it.
//	DeleteEndpoint   the Attachment and its interface are gone. ReleaseAddress,
//	                 which follows, removes only what is still a reservation.
//
// What an engine leaves that was killed between two steps, or that nobody heard
// when it cleaned up, is found by asking the engine which endpoints it has (see
// judge): a reservation that no endpoint took, an endpoint that the engine does
// not know, an interface without an attachment.
package plugin
