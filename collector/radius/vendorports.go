package radius

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"griffier/collector/binding"
)

// Vendors whose translators tell of blocks of ports in attributes of their own
// rather than by RFC 8045. Numbers are those of FreeRADIUS's dictionaries, meanings
// those of the vendors' references. There is none for Juniper or Cisco: Junos tells
// of blocks in its log, StarOS by RADIUS of a shared address without its ports, and
// neither has an attribute in any public dictionary; from them they come by IPFIX
// (package natlog) or RFC 8045.
var portVendors = [...]struct {
	vendor uint32
	read   func(iter.Seq2[byte, []byte]) (blocks []binding.PortBlock, ok bool)
}{
	{vendorHuawei, huaweiPorts},
	{vendorNokia, nokiaPorts},
}

const (
	vendorHuawei = 2011
	vendorNokia  = 6527
)

// portVendor returns a bit for the vendor of a Vendor-Specific attribute if it is
// one of portVendors, else 0.
func portVendor(value []byte) uint {
	if len(value) >= 4 {
		for i := range portVendors {
			if binary.BigEndian.Uint32(value) == portVendors[i].vendor {
				return 1 << i
			}
		}
	}
	return 0
}

// vendorPorts returns what the given vendors tell, and whether Nokia is one of them.
// With ok false some of it cannot be read, which spoils nothing but itself: the
// request is still one of a session.
func vendorPorts(attributes []byte, vendors uint) (blocks []binding.PortBlock, nokia, ok bool) {
	ok = true
	for i, v := range portVendors {
		if vendors&(1<<i) == 0 {
			continue
		}
		told, readable := v.read(vendorAttributes(attributes, v.vendor))
		blocks = append(blocks, told...)
		nokia = nokia || v.vendor == vendorNokia && len(told) > 0
		ok = ok && readable
	}
	return blocks, nokia, ok
}

// vendorAttributes are the vendor's own attributes in their order, in however many
// Vendor-Specific ones (RFC 2865 §5.26).
func vendorAttributes(attributes []byte, vendor uint32) iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		for ; len(attributes) > 0; attributes = attributes[attributes[1]:] {
			value := attributes[2:attributes[1]]
			if attributes[0] != typeVendorSpecific || len(value) < 4 || binary.BigEndian.Uint32(value) != vendor {
				continue
			}
			for d := value[4:]; len(d) >= 2 && d[1] >= 2 && int(d[1]) <= len(d); d = d[d[1]:] {
				if !yield(d[0], d[2:d[1]]) {
					return
				}
			}
		}
	}
}

// huaweiPorts reads HW-NAT-IP-Address (161), HW-NAT-Start-Port (162),
// HW-NAT-End-Port (163) and HW-NAT-Port-Range-Update (165): ports added (0, or if
// it is absent), deleted (1), or those after a change (3).
func huaweiPorts(attributes iter.Seq2[byte, []byte]) (blocks []binding.PortBlock, ok bool) {
	const (
		addressOf, startOf, endOf, updateOf = 161, 162, 163, 165
		added, deleted, changed             = 0, 1, 3
	)
	var outside netip.Addr
	var update uint32
	var starts, ends []uint32
	for kind, value := range attributes {
		if kind != addressOf && kind != startOf && kind != endOf && kind != updateOf {
			continue
		}
		if len(value) != 4 {
			return nil, false
		}
		n := binary.BigEndian.Uint32(value)
		switch kind {
		case addressOf:
			outside = netip.AddrFrom4([4]byte(value))
		case startOf:
			starts = append(starts, n)
		case endOf:
			ends = append(ends, n)
		case updateOf:
			update = n
		}
	}
	if len(starts)+len(ends) == 0 {
		return nil, true // an address for itself alone, or nothing at all
	}
	if len(starts) != len(ends) || !outside.IsValid() || !assignable(outside) || update != added && update != deleted && update != changed {
		return nil, false
	}
	for i := range starts {
		if starts[i] > ends[i] || ends[i] > 65535 {
			return nil, false
		}
	}
	for i := range starts {
		blocks = append(blocks, binding.PortBlock{Outside: outside, PortStart: uint16(starts[i]), PortEnd: uint16(ends[i]), Released: update == deleted})
	}
	return blocks, true
}

// nokiaPorts reads Alc-Nat-Port-Range (121): "ADDRESS FROM-TO[,FROM-TO]* INSTANCE",
// the last being the routing instance outside.
func nokiaPorts(attributes iter.Seq2[byte, []byte]) (blocks []binding.PortBlock, ok bool) {
	const portRangeOf = 121
	ok = true
	for kind, value := range attributes {
		if kind != portRangeOf {
			continue
		}
		told, readable := nokiaRange(value)
		blocks, ok = append(blocks, told...), ok && readable
	}
	return blocks, ok
}

func nokiaRange(value []byte) (blocks []binding.PortBlock, ok bool) {
	address, rest, _ := bytes.Cut(value, []byte(" "))
	ranges, _, instance := bytes.Cut(rest, []byte(" "))
	outside, err := netip.ParseAddr(string(address))
	if err != nil || !instance || !outside.Is4() || !assignable(outside) {
		return nil, false
	}
	for _, r := range strings.Split(string(ranges), ",") {
		from, to, _ := strings.Cut(r, "-")
		start, errStart := strconv.ParseUint(from, 10, 16)
		end, errEnd := strconv.ParseUint(to, 10, 16)
		if errStart != nil || errEnd != nil || start > end {
			return nil, false
		}
		blocks = append(blocks, binding.PortBlock{Outside: outside, PortStart: uint16(start), PortEnd: uint16(end)})
	}
	return blocks, true
}

// nokiaInside returns the inside address for which a translator that knows no
// subscribers keeps accounts: its User-Name is "LSN44@ADDRESS" and the like.
func nokiaInside(userName string) netip.Addr {
	kind, address, _ := strings.Cut(userName, "@")
	if !strings.EqualFold(kind, "LSN44") && !strings.EqualFold(kind, "DS-Lite") && !strings.EqualFold(kind, "NAT64") {
		return netip.Addr{}
	}
	inside, err := netip.ParseAddr(address)
	if err != nil || inside.Zone() != "" {
		return netip.Addr{}
	}
	return inside
}

// released returns blocks as taken back.
func released(blocks []binding.PortBlock) []binding.PortBlock {
	out := slices.Clone(blocks)
	for i := range out {
		out[i].Released = true
	}
	return out
}
