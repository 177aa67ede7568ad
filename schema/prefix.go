package schema

import (
	"errors"
	"net/netip"
)

// PrefixColumns returns a prefix as the columns prefix_address and prefix_length
// hold it: IPv4 is v4-mapped, so that 192.0.2.1/32 has length 128.
func PrefixColumns(p netip.Prefix) (netip.Addr, uint8) {
	if p.Addr().Is4() {
		return netip.AddrFrom16(p.Addr().As16()), uint8(p.Bits() + 96)
	}
	return p.Addr(), uint8(p.Bits())
}

// PrefixFromColumns is the inverse of [PrefixColumns].
func PrefixFromColumns(address netip.Addr, length uint8) (netip.Prefix, error) {
	var p netip.Prefix
	switch {
	case address.Is4(): // a client library may have unmapped it
		p = netip.PrefixFrom(address, int(length)-96)
	case address.Is4In6() && length >= 96:
		p = netip.PrefixFrom(address.Unmap(), int(length)-96)
	default:
		p = netip.PrefixFrom(address, int(length))
	}
	if !p.IsValid() {
		return netip.Prefix{}, errors.New("stored prefix: length out of range")
	}
	return p, nil
}

// InsideColumn returns an inside address as the column inside_address holds it:
// IPv4 v4-mapped, none as "::".
func InsideColumn(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16(a.As16())
}

// InsideFromColumn is the inverse of [InsideColumn].
func InsideFromColumn(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}

// CoveringPrefixes returns every prefix that contains address, longest first, as
// [PrefixColumns] stores them: the key values by which a look-up of one address
// finds its own assignment and delegated prefixes around it.
func CoveringPrefixes(address netip.Addr) []netip.Prefix {
	address = address.Unmap().WithZone("")
	if !address.IsValid() {
		return nil
	}
	var prefixes []netip.Prefix
	for bits := address.BitLen(); bits > 0; bits-- {
		prefixes = append(prefixes, netip.PrefixFrom(address, bits).Masked())
	}
	return prefixes
}
