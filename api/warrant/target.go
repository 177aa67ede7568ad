package warrant

import (
	"encoding/hex"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"griffier/api/reason"
)

// TargetKind is what sort of identifier a target is.
type TargetKind string

// Kinds of target. The first two are of the network and are attributed to a line;
// the others name a line, or whose it is.
const (
	TargetAddress TargetKind = "address"        // one IPv4 or IPv6 address, perhaps with a port
	TargetPrefix  TargetKind = "prefix"         // one delegated IPv6 prefix
	TargetLine    TargetKind = "line"           // line id of the register
	TargetCircuit TargetKind = "circuit"        // circuit id of an access node (option 82, TR-101)
	TargetRADIUS  TargetKind = "radius"         // RADIUS user name
	TargetMAC     TargetKind = "mac"            // MAC address of the equipment on a line
	TargetPerson  TargetKind = "person"         // name, postcode and house number
	TargetPlace   TargetKind = "postal-address" // postcode and house number
)

// Lengths of delegated prefixes that a target may be. A shorter one could be of
// more than one customer; nothing longer than a LAN is delegated.
const (
	MinPrefixBits = 48
	MaxPrefixBits = 64
)

// Target is one concrete identifier. Only the fields of its kind are set, all in
// canonical form, so that two targets are the same if and only if they are equal.
type Target struct {
	Kind     TargetKind
	Address  netip.Addr
	Port     uint16 // of an address; 0: the whole of it
	Protocol uint8  // of the port (IANA number); 0: every one
	Prefix   netip.Prefix
	// Value is the line id, circuit id, RADIUS user or MAC. A circuit id that is not
	// text is 0x and hexadecimal digits.
	Value string
	Name  string // of a person
	// Postcode has no space in it; Number is the house number, with its addition
	// after a space.
	Postcode, Number string
}

// Network reports whether the target is of the network: whose it was at an instant
// is what a task would find out.
func (t Target) Network() bool { return t.Kind == TargetAddress || t.Kind == TargetPrefix }

// Text forms of targets that are no address or prefix.
const (
	lineForm    = "line:"
	circuitForm = "circuit:"
	radiusForm  = "radius:"
	macForm     = "mac:"
	personForm  = "person:"
	placeForm   = "address:"
)

var (
	lineIDForm   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`) // as the register has them
	visibleForm  = regexp.MustCompile(`^[!-~]([ -~]{0,126}[!-~])?$`)
	userForm     = regexp.MustCompile(`^[!-~]{1,253}$`) // RFC 2865 §5.1: at most 253 octets
	hexForm      = regexp.MustCompile(`^0[xX][0-9A-Fa-f]{2,254}$`)
	postcodeForm = regexp.MustCompile(`^[0-9A-Z]{3,8}$`)
	numberForm   = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	additionForm = regexp.MustCompile(`^[0-9A-Z](?:[0-9A-Z /.-]{0,10}[0-9A-Z])?$`)
)

// maxName is as long as a name may be, in bytes.
const maxName = 128

// ParseTarget reads a target: one IPv4 or IPv6 address, or ADDRESS:PORT[/PROTOCOL]
// ([ADDRESS]:PORT for IPv6; tcp, udp, icmp…); a delegated IPv6 prefix of /48 to /64;
// or one of line:ID, circuit:TEXT, radius:USER, mac:AA:BB:CC:DD:EE:FF,
// person:NAME;POSTCODE;NUMBER[;ADDITION] and address:POSTCODE;NUMBER[;ADDITION].
//
// Everything else is TARGET_NOT_SPECIFIC, with why as its detail: other prefixes (also /32 and /128),
// ranges, wildcards, an address with a zone, addresses that no line can hold
// (unspecified, multicast, loopback), and names in another script than the Latin,
// whose letters could pass for others.
func ParseTarget(s string) (Target, *reason.Error) {
	t, ok := parseTarget(s)
	if !ok {
		return Target{}, reason.New(reason.TargetNotSpecific, unreadable(s))
	}
	if t.Network() && !holdable(t.Address) {
		return Target{}, reason.New(reason.TargetNotSpecific, "No line can hold that address.")
	}
	if t.Kind == TargetPrefix {
		t.Address = netip.Addr{}
	}
	return t, nil
}

// forms are those of targets that are no address or prefix, by what begins them.
var forms = [][2]string{{lineForm, "line:ID"}, {circuitForm, "circuit:TEXT or circuit:0xHEX"}, {radiusForm, "radius:USER"}, {macForm, "mac:AA:BB:CC:DD:EE:FF, of one device"},
	{personForm, "person:NAME;POSTCODE;NUMBER or person:NAME;POSTCODE;NUMBER;ADDITION"}, {placeForm, "address:POSTCODE;NUMBER or address:POSTCODE;NUMBER;ADDITION"}}

// unreadable says why a text is no target, and nothing of the text.
func unreadable(s string) string {
	if strings.ContainsAny(s, "*%") {
		return "It has a wildcard or a zone: name one."
	}
	name, isPerson := strings.CutPrefix(s, personForm)
	if name, _, _ = strings.Cut(name, ";"); isPerson && strings.ContainsFunc(norm.NFC.String(name), func(c rune) bool { return !inNames(c) }) {
		return "The name has a character that is no Latin letter, digit, space or one of ' - . , &: it may look like another."
	}
	if !isPerson && strings.ContainsFunc(s, func(c rune) bool { return c > unicode.MaxASCII || unicode.IsControl(c) }) {
		return "It has a character that is not plain ASCII, or not seen: it may look like another."
	}
	for _, f := range forms {
		if strings.HasPrefix(s, f[0]) {
			return "It is not of the form " + f[1] + "."
		}
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return "Of prefixes only a delegated one is one target: IPv6, /48 to /64, with nothing after its length."
	}
	return "It is no address, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL, and begins with none of line:, circuit:, radius:, mac:, person: and address:."
}

// parseTarget reads the form. Of a prefix it sets the address too, its first.
func parseTarget(s string) (Target, bool) {
	if strings.ContainsAny(s, "*%") {
		return Target{}, false // no wildcard, in any kind
	}
	if value, ok := strings.CutPrefix(s, lineForm); ok {
		return Target{Kind: TargetLine, Value: value}, lineIDForm.MatchString(value)
	}
	if value, ok := strings.CutPrefix(s, circuitForm); ok {
		return parseCircuit(value)
	}
	if value, ok := strings.CutPrefix(s, radiusForm); ok {
		return Target{Kind: TargetRADIUS, Value: value}, userForm.MatchString(value)
	}
	if value, ok := strings.CutPrefix(s, macForm); ok {
		mac, err := net.ParseMAC(value)
		good := err == nil && len(mac) == 6 && mac[0]&1 == 0 && mac.String() != "00:00:00:00:00:00"
		return Target{Kind: TargetMAC, Value: mac.String()}, good
	}
	if value, ok := strings.CutPrefix(s, personForm); ok {
		name, place, _ := strings.Cut(value, ";")
		t, ok := parsePlace(TargetPerson, place)
		name, nameOK := parseName(name)
		t.Name = name
		return t, ok && nameOK
	}
	if value, ok := strings.CutPrefix(s, placeForm); ok {
		return parsePlace(TargetPlace, value)
	}
	if strings.Contains(s, "/") {
		if p, err := netip.ParsePrefix(s); err == nil {
			return Target{Kind: TargetPrefix, Prefix: p, Address: p.Addr()}, p.Addr().Is6() && !p.Addr().Is4In6() && p == p.Masked() &&
				p.Bits() >= MinPrefixBits && p.Bits() <= MaxPrefixBits
		}
	}
	return parseAddress(s)
}

// parseAddress reads ADDRESS or ADDRESS:PORT[/PROTOCOL].
func parseAddress(s string) (Target, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return Target{Kind: TargetAddress, Address: a.Unmap()}, a.Zone() == ""
	}
	endpoint, protocol, named := strings.Cut(s, "/")
	at, err := netip.ParseAddrPort(endpoint)
	if err != nil || at.Addr().Zone() != "" || at.Port() == 0 {
		return Target{}, false
	}
	t := Target{Kind: TargetAddress, Address: at.Addr().Unmap(), Port: at.Port()}
	// A port has one text: no sign, no leading zero.
	if !strings.HasSuffix(endpoint, ":"+strconv.Itoa(int(t.Port))) {
		return Target{}, false
	}
	if named {
		i := slices.IndexFunc(protocolNames, func(n protocolName) bool { return n.name == strings.ToLower(protocol) })
		if i < 0 {
			return Target{}, false
		}
		t.Protocol = protocolNames[i].number
	}
	return t, true
}

// holdable reports whether a line can hold an address at all.
func holdable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func parseCircuit(s string) (Target, bool) {
	if hexForm.MatchString(s) {
		return Target{Kind: TargetCircuit, Value: strings.ToLower(s)}, len(s)%2 == 0
	}
	return Target{Kind: TargetCircuit, Value: s}, visibleForm.MatchString(s)
}

// CircuitBytes returns the octets of a circuit id.
func (t Target) CircuitBytes() []byte {
	if digits, ok := strings.CutPrefix(t.Value, "0x"); ok {
		if b, err := hex.DecodeString(digits); err == nil {
			return b
		}
	}
	return []byte(t.Value)
}

// parsePlace reads POSTCODE;NUMBER[;ADDITION].
func parsePlace(kind TargetKind, s string) (Target, bool) {
	parts := strings.Split(s, ";")
	if len(parts) != 2 && len(parts) != 3 {
		return Target{}, false
	}
	t := Target{Kind: kind, Postcode: strings.ToUpper(strings.ReplaceAll(parts[0], " ", "")), Number: parts[1]}
	if !postcodeForm.MatchString(t.Postcode) || strings.HasPrefix(parts[0], " ") || strings.HasSuffix(parts[0], " ") || !numberForm.MatchString(t.Number) {
		return Target{}, false
	}
	if len(parts) == 3 {
		addition := strings.ToUpper(parts[2])
		if !additionForm.MatchString(addition) {
			return Target{}, false
		}
		t.Number += " " + addition
	}
	return t, true
}

// parseName reads a name: Latin letters, digits, single spaces and what stands in
// names. It comes back composed (NFC).
func parseName(s string) (string, bool) {
	if len(s) > maxName {
		return "", false
	}
	s = norm.NFC.String(s)
	letters := 0
	for _, c := range s {
		if !inNames(c) {
			return "", false
		}
		if unicode.IsLetter(c) {
			letters++
		}
	}
	return s, letters > 1 && len(s) <= maxName && strings.TrimSpace(s) == s && !strings.Contains(s, "  ")
}

// inNames reports whether a character is one that names have.
func inNames(c rune) bool {
	return unicode.Is(unicode.Latin, c) && unicode.IsLetter(c) || c >= '0' && c <= '9' || strings.ContainsRune(" '-.,&", c)
}

// String returns the canonical text, which [ParseTarget] reads back.
func (t Target) String() string {
	switch t.Kind {
	case TargetAddress:
		if t.Port == 0 {
			return t.Address.String()
		}
		s := netip.AddrPortFrom(t.Address, t.Port).String()
		if i := slices.IndexFunc(protocolNames, func(n protocolName) bool { return n.number == t.Protocol }); i >= 0 {
			s += "/" + protocolNames[i].name
		}
		return s
	case TargetPrefix:
		return t.Prefix.String()
	case TargetLine:
		return lineForm + t.Value
	case TargetCircuit:
		return circuitForm + t.Value
	case TargetRADIUS:
		return radiusForm + t.Value
	case TargetMAC:
		return macForm + t.Value
	case TargetPerson:
		return personForm + t.Name + ";" + t.place()
	case TargetPlace:
		return placeForm + t.place()
	}
	return ""
}

func (t Target) place() string { return t.Postcode + ";" + strings.Replace(t.Number, " ", ";", 1) }

// Names reports whether a warrant that names t covers a question about q: the same
// thing, and of an address with a port no other port.
func (t Target) Names(q Target) bool {
	if t.Kind == TargetAddress && q.Kind == TargetAddress {
		return t.Address == q.Address && (t.Port == 0 || t.Port == q.Port) && (t.Protocol == 0 || t.Protocol == q.Protocol)
	}
	return t == q
}

type protocolName struct {
	number uint8
	name   string
}

// protocolNames are the transport protocols that a target or task may name: those
// with ports or, for ICMP, identifiers that a translator takes for ports.
var protocolNames = []protocolName{{1, "icmp"}, {6, "tcp"}, {17, "udp"}, {33, "dccp"}, {58, "icmpv6"}, {132, "sctp"}}
