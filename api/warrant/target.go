package warrant

import (
	"net/netip"

	"griffier/api/reason"
)

// ParseTarget reads a target: one IPv4 or IPv6 address and nothing else. A
// prefix (also /32 and /128), a range, a wildcard, an address with a zone or
// port, and addresses that no line can hold (unspecified, multicast, loopback)
// are TARGET_NOT_SPECIFIC. The address comes back in canonical form, an
// IPv4-mapped one as IPv4.
func ParseTarget(s string) (netip.Addr, *reason.Error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, reason.New(reason.TargetNotSpecific, "")
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, reason.New(reason.TargetNotSpecific, "No line can hold that address.")
	}
	return a, nil
}
