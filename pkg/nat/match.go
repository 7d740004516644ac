// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package nat

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Parts of rules, named as the nft language has them. Registers have the
// numbers that the kernel gives back, so that what is read compares with what
// was written.

const (
	reg1  = unix.NFT_REG_1    // 16 bytes from the first 4-byte register
	reg2  = unix.NFT_REG_2    // 16 bytes from the fifth
	reg01 = unix.NFT_REG32_01 // the second 4-byte register
	reg05 = unix.NFT_REG32_01 + 4
)

type exprs = []expr.Any

// rule joins parts.
func rule(parts ...exprs) exprs {
	var out exprs
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func equal(data []byte) *expr.Cmp    { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data} }
func notEqual(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: data} }

func iifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, equal([]byte(nameKey(name)))}
}

func iifgroup(group uint32) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: reg1}, equal(binaryutil.NativeEndian.PutUint32(group))}
}

func iifnameNot(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, notEqual([]byte(nameKey(name)))}
}

func oifname(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, equal([]byte(nameKey(name)))}
}

func oifnameNot(name string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, notEqual([]byte(nameKey(name)))}
}

func iifnameIn(set string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

func oifnameIn(set string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: set}}
}

func nfproto(f *family) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1}, equal([]byte{f.number})}
}

func l4proto(p byte) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equal([]byte{p})}
}

func dport(port uint16) exprs {
	return exprs{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(binaryutil.BigEndian.PutUint16(port)),
	}
}

// icmpv6Type matches one type of ICMPv6 messages.
func icmpv6Type(t byte) exprs {
	return append(l4proto(unix.IPPROTO_ICMPV6),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, equal([]byte{t}))
}

func address(at uint32, f *family) *expr.Payload {
	return &expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: f.addrLen}
}

// saddrIn and daddrIn include the match of the family.
func saddrIn(f *family, set string) exprs {
	return append(nfproto(f), address(f.sourceAt, f), &expr.Lookup{SourceRegister: reg1, SetName: set})
}

func daddrIn(f *family, set string) exprs {
	return append(nfproto(f), address(f.destAt, f), &expr.Lookup{SourceRegister: reg1, SetName: set})
}

func daddr(f *family, a []byte) exprs { return append(nfproto(f), address(f.destAt, f), equal(a)) }

// loopback4 matches 127.0.0.0/8 as source or destination.
func loopback4(at uint32) exprs {
	p := address(at, ip4)
	p.Len = 1
	return append(nfproto(ip4), p, equal([]byte{127}))
}

func ctBits(key expr.CtKey, bits uint32) exprs {
	return exprs{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		notEqual(make([]byte, 4)),
	}
}

func ctState(bits uint32) exprs { return ctBits(expr.CtKeySTATE, bits) }

// ctStatusDNAT matches connections whose destination was translated.
func ctStatusDNAT() exprs { return ctBits(expr.CtKeySTATUS, 1<<5) }

// toThisHost matches destinations that are addresses of the host.
func toThisHost() exprs {
	return exprs{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		equal(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

// translate sends a packet where a map says; one that is not in it passes.
func translate(f *family, mapName string, withAddress bool) exprs {
	protocol, port := uint32(reg1), uint32(reg01)
	var out exprs
	if withAddress {
		out = append(out, address(f.destAt, f))
		protocol, port = reg01, unix.NFT_REG32_02
		if f == ip6 {
			protocol, port = reg2, reg05
		}
	}
	out = append(out,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: protocol},
		&expr.Payload{DestRegister: port, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: mapName},
	)
	targetPort := uint32(reg01)
	if f == ip6 {
		targetPort = reg2
	}
	return append(out, &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.number),
		RegAddrMin: reg1, RegAddrMax: reg1, RegProtoMin: targetPort, RegProtoMax: targetPort, Specified: true})
}

func masquerade() exprs                { return exprs{&expr.Masq{}} }
func verdict(k expr.VerdictKind) exprs { return exprs{&expr.Verdict{Kind: k}} }
func accept() exprs                    { return verdict(expr.VerdictAccept) }
func drop() exprs                      { return verdict(expr.VerdictDrop) }
func back() exprs                      { return verdict(expr.VerdictReturn) }
func goTo(chain string) exprs          { return exprs{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}} }
