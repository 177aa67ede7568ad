package radius

import (
	"errors"
	"net/netip"
	"slices"
)

// Addresses are what a session holds, by the attribute that told it. They are
// kept apart because each attribute is sticky by itself: a NAS that names its
// delegated prefix once, in the Start, has not taken it back when an
// Interim-Update names only the IPv4 address.
type Addresses struct {
	IPv4          []netip.Prefix `json:"ipv4,omitempty"`           // Framed-IP-Address
	IPv6Address   []netip.Prefix `json:"ipv6_address,omitempty"`   // Framed-IPv6-Address
	IPv6Prefix    []netip.Prefix `json:"ipv6_prefix,omitempty"`    // Framed-IPv6-Prefix
	IPv6Delegated []netip.Prefix `json:"ipv6_delegated,omitempty"` // Delegated-IPv6-Prefix
	// Unsorted are IPv6 prefixes restored from observations, which do not say
	// which of the two prefix attributes told them.
	Unsorted []netip.Prefix `json:"unsorted,omitempty"`
}

// read takes in the address attributes, of which there are count, from a
// packet's attributes. All slices share one array.
func (a *Addresses) read(attributes []byte, count int) error {
	all := make([]netip.Prefix, 0, count)
	for _, kind := range [...]struct {
		code byte
		to   *[]netip.Prefix
	}{{typeFramedIPAddress, &a.IPv4}, {typeFramedIPv6Address, &a.IPv6Address}, {typeFramedIPv6Prefix, &a.IPv6Prefix}, {typeDelegatedIPv6Prefix, &a.IPv6Delegated}} {
		first := len(all)
		for rest := attributes; len(rest) > 0; rest = rest[rest[1]:] {
			if rest[0] != kind.code {
				continue
			}
			prefix, err := readPrefix(kind.code, rest[2:rest[1]])
			if err != nil {
				return err
			}
			if prefix.IsValid() && !slices.Contains(all[first:], prefix) {
				all = append(all, prefix)
			}
		}
		if len(all) > first {
			*kind.to = all[first:len(all):len(all)]
		}
	}
	return nil
}

// readPrefix reads one attribute. An invalid prefix means that it says nothing.
func readPrefix(kind byte, value []byte) (netip.Prefix, error) {
	switch kind {
	case typeFramedIPAddress:
		ip, err := address(value, 4)
		if err != nil {
			return netip.Prefix{}, err
		}
		// 255.255.255.255 and .254 mean "the user or the NAS chooses" (RFC 2865
		// §5.8): no address held.
		if v := ip.As4(); !assignable(ip) || v == [4]byte{255, 255, 255, 255} || v == [4]byte{255, 255, 255, 254} {
			return netip.Prefix{}, nil
		}
		return netip.PrefixFrom(ip, 32), nil
	case typeFramedIPv6Address:
		ip, err := address(value, 16)
		if err != nil || !assignable(ip) {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(ip, 128), nil
	}
	prefix, err := ipv6Prefix(value)
	if err != nil || prefix.Bits() == 0 || !assignable(prefix.Addr()) {
		return netip.Prefix{}, err
	}
	return prefix, nil
}

// assignable says whether an address can tell one line from another: NASes
// report unspecified ones before there is any, and link-local ones that every
// line has.
func assignable(ip netip.Addr) bool {
	return !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !ip.IsLoopback() && !ip.IsMulticast()
}

// ipv6Prefix reads RFC 3162 §2.3: reserved, length, up to 16 octets, of which
// trailing ones may be left out; bits past the length are ignored.
func ipv6Prefix(value []byte) (netip.Prefix, error) {
	if len(value) < 2 || len(value) > 18 {
		return netip.Prefix{}, errors.New("ipv6 prefix: length")
	}
	bits := int(value[1])
	if bits > 128 || len(value)-2 < (bits+7)/8 {
		return netip.Prefix{}, errors.New("ipv6 prefix: prefix length")
	}
	var octets [16]byte
	copy(octets[:], value[2:])
	return netip.PrefixFrom(netip.AddrFrom16(octets), bits).Masked(), nil
}

// updated returns a with every kind that told names replaced.
func (a Addresses) updated(told Addresses) Addresses {
	a.Unsorted = slices.DeleteFunc(slices.Clone(a.Unsorted), func(p netip.Prefix) bool {
		// A restored prefix yields to a told one of its length.
		same := func(q netip.Prefix) bool { return q.Bits() == p.Bits() }
		return slices.ContainsFunc(told.IPv6Prefix, same) || slices.ContainsFunc(told.IPv6Delegated, same)
	})
	replace(&a.IPv4, told.IPv4)
	replace(&a.IPv6Address, told.IPv6Address)
	replace(&a.IPv6Prefix, told.IPv6Prefix)
	replace(&a.IPv6Delegated, told.IPv6Delegated)
	return a
}

// filled returns a with the kinds it lacks taken from told, for a request that
// is older than what a was made from.
func (a Addresses) filled(told Addresses) Addresses {
	if len(a.Unsorted) > 0 {
		told.IPv6Prefix, told.IPv6Delegated = nil, nil
	}
	full := told.updated(a)
	full.Unsorted = a.Unsorted
	return full
}

func replace(have *[]netip.Prefix, told []netip.Prefix) {
	if len(told) > 0 {
		*have = told
	}
}

// prefixes lists them all, each once; nil if there are none.
func (a Addresses) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, kind := range [][]netip.Prefix{a.IPv4, a.IPv6Address, a.IPv6Prefix, a.IPv6Delegated, a.Unsorted} {
		for _, p := range kind {
			all = appendNew(all, p)
		}
	}
	return all
}

func appendNew(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	if slices.Contains(list, p) {
		return list
	}
	return append(list, p)
}
