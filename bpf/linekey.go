// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"net/netip"
)

// lineKey is a key as the programs look it up.
type lineKey struct {
	high, low, tag uint64
}

func (k lineKey) isLong() bool { return k.tag&tagLong != 0 }

func (k lineKey) other() accountingOtherKey {
	return accountingOtherKey{High: k.high, Low: k.low, Tag: k.tag}
}

func packScope(scope uint32) uint64 {
	return uint64(scope>>4&0xfff000 | scope&0xfff)
}

func unpackScope(tag uint64) uint32 {
	return uint32(tag&0xfff000)<<4 | uint32(tag&0xfff)
}

func lineKeyOf(k Key) lineKey {
	scope := packScope(k.Scope)
	if k.Prefix.Addr().Is4() {
		b := k.Prefix.Addr().As4()
		return lineKey{high: uint64(binary.LittleEndian.Uint32(b[:])), tag: tagIPv4<<tagLengthShift | scope}
	}
	b := k.Prefix.Addr().As16()
	l := lineKey{
		high: binary.LittleEndian.Uint64(b[:8]), low: binary.LittleEndian.Uint64(b[8:]),
		tag: uint64(k.Prefix.Bits())<<tagLengthShift | scope,
	}
	if k.Prefix.Bits() > 64 {
		l.tag |= tagLong
	}
	return l
}

func (k lineKey) key() Key {
	length := int(k.tag >> tagLengthShift & 0xff)
	if length == tagIPv4 && !k.isLong() {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(k.high))
		return Key{netip.PrefixFrom(netip.AddrFrom4(b), 32), unpackScope(k.tag)}
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], k.high)
	binary.LittleEndian.PutUint64(b[8:], k.low)
	return Key{netip.PrefixFrom(netip.AddrFrom16(b), length), unpackScope(k.tag)}
}

// mix is the same as in accounting.bpf.c.
func mix(key, tag uint64) uint64 {
	h := key ^ tag*0x9e3779b97f4a7c15
	h ^= h >> 32
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	return h ^ h>>32
}
