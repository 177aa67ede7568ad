package radius

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"griffier/collector/binding"
)

// Status is an Acct-Status-Type (RFC 2866 §5.1).
type Status uint32

// The status types that bear on sessions, and those that do not. The latter are
// acknowledged and counted by type, and nothing of them is stored: a tunnel between
// two routers, and a link of it, is no line's and holds no address (RFC 2867 §3),
// and a session that failed (RFC 2866 §5.1) never was one. Who used a tunnel is in
// the accounts of its sessions.
const (
	StatusStart            Status = 1
	StatusStop             Status = 2
	StatusInterim          Status = 3
	StatusOn               Status = 7
	StatusOff              Status = 8
	StatusTunnelStart      Status = 9
	StatusTunnelStop       Status = 10
	StatusTunnelReject     Status = 11
	StatusTunnelLinkStart  Status = 12
	StatusTunnelLinkStop   Status = 13
	StatusTunnelLinkReject Status = 14
	StatusFailed           Status = 15
)

// Reason says why a datagram was dropped, or why a request changed nothing. Its
// values are metric labels.
type Reason string

// Reasons that [Decode] gives in a [*DecodeError].
const (
	ReasonLength         Reason = "length"          // shorter than its header or its Length field says
	ReasonCode           Reason = "code"            // not an Accounting-Request
	ReasonAuthenticator  Reason = "authenticator"   // wrong secret or altered
	ReasonAttribute      Reason = "attribute"       // attribute runs past the packet
	ReasonAttributeValue Reason = "attribute_value" // known attribute with an impossible value
	ReasonAddressCount   Reason = "address_count"   // more addresses than MaxAddresses
	ReasonStatusType     Reason = "status_type"     // Acct-Status-Type missing
	ReasonSessionID      Reason = "session_id"      // Acct-Session-Id missing
)

// MaxAddresses is how many addresses and prefixes one request may name.
const MaxAddresses = 64

// DecodeError is a datagram that is not an acceptable Accounting-Request. It
// never cites what the datagram held.
type DecodeError struct{ Reason Reason }

// Error implements error.
func (e *DecodeError) Error() string { return "radius: decode: " + string(e.Reason) }

// Accounting is a decoded Accounting-Request: what a session record needs and
// nothing else. Text and addresses in it are personal data.
type Accounting struct {
	Status        Status
	SessionID     string     // Acct-Session-Id; empty for On and Off
	MultiSession  string     // Acct-Multi-Session-Id: sessions of one line, such as dual stack or a bundle of links; empty if absent
	UserName      string     // User-Name as sent, empty if absent
	CircuitID     string     // Agent-Circuit-Id (RFC 4679), octets as sent, empty if absent
	RemoteID      string     // Agent-Remote-Id (RFC 4679), likewise
	NASIdentifier string     // empty if absent
	NASAddress    netip.Addr // NAS-IP-Address, else NAS-IPv6-Address
	NASPort       string     // NAS-Port-Id, else NAS-Port in decimal
	Addresses     Addresses
	Blocks        []binding.PortBlock // of shared addresses, given or taken back (RFC 8045, or a vendor's way)
	BadPorts      bool                // a vendor's word on ports makes no sense; it is left out

	EventAt        time.Time     // Event-Timestamp, zero if absent
	Delay          time.Duration // Acct-Delay-Time
	HasDelay       bool
	SessionTime    time.Duration // Acct-Session-Time
	HasSessionTime bool
	TerminateCause uint32 // Acct-Terminate-Cause, 0 if absent

	// BytesUp and BytesDown are Acct-Input- and Acct-Output-Octets with their
	// gigawords (RFC 2869 §5.1, §5.2): the session's totals as the NAS counts.
	BytesUp, BytesDown uint64
	// PacketsUp and PacketsDown are Acct-Input- and Acct-Output-Packets.
	PacketsUp, PacketsDown uint32
	HasOctets              bool // either of the octets is there
	HasGigawords           bool // either of the gigawords is there

	nokia bool // Blocks are told in Nokia's way
}

// Decode reads the Accounting-Request in datagram and checks its Request
// Authenticator against secret. A nil secret skips that check: a capture has
// none. Octets past the Length field are padding and ignored (RFC 2865 §3). The
// error is a [*DecodeError].
func Decode(datagram, secret []byte) (Accounting, error) {
	return new(Decoder).Decode(datagram, secret)
}

// Decode is as the function [Decode].
func (d *Decoder) Decode(datagram, secret []byte) (Accounting, error) {
	packet, err := d.frame(datagram, secret)
	if err != nil {
		return Accounting{}, err
	}
	if packet[0] != codeAccountingRequest {
		return Accounting{}, &DecodeError{ReasonCode}
	}
	return d.accounting(packet)
}

// texts are the attributes of variable length, where they are in the packet.
type texts struct {
	sessionID, multiSession, userName, nasIdentifier, nasPort, circuitID, remoteID []byte
}

// accounting reads the attributes of a framed Accounting-Request. One impossible
// value rejects the whole request: half a record would be worse than none.
func (d *Decoder) accounting(packet []byte) (Accounting, error) {
	var (
		a            Accounting
		text         texts
		nasV4, nasV6 netip.Addr
		nasPort      uint32
		hasNASPort   bool
		hasStatus    bool
		number       numbers
		addresses    int
		vendors      uint // of portVendors
		err          error
	)
	for rest := packet[headerLength:]; len(rest) > 0; rest = rest[rest[1]:] {
		value := rest[2:rest[1]]
		switch rest[0] {
		case typeStatusType:
			var v uint32
			v, err = integer(value)
			a.Status, hasStatus = Status(v), true
		case typeSessionID:
			text.sessionID = value
		case typeMultiSessionID:
			text.multiSession = value
		case typeUserName:
			text.userName = value
		case typeNASIdentifier:
			text.nasIdentifier = value
		case typeNASIPAddress:
			nasV4, err = address(value, 4)
		case typeNASIPv6Address:
			nasV6, err = address(value, 16)
		case typeNASPortID:
			text.nasPort = value
		case typeNASPort:
			nasPort, err = integer(value)
			hasNASPort = true
		case typeVendorSpecific:
			if circuit := agentText(value, agentCircuitID); circuit != nil {
				text.circuitID = circuit
			}
			if remote := agentText(value, agentRemoteID); remote != nil {
				text.remoteID = remote
			}
			vendors |= portVendor(value)
		case typeFramedIPAddress, typeFramedIPv6Prefix, typeDelegatedIPv6Prefix, typeFramedIPv6Address:
			addresses++
		case extendedType1:
			var block binding.PortBlock
			var ok bool
			if block, ok, err = portRange(value); ok {
				a.Blocks = append(a.Blocks, block)
			}
		default:
			err = number.read(rest[0], value)
		}
		if err != nil {
			return Accounting{}, &DecodeError{ReasonAttributeValue}
		}
	}
	if vendors != 0 {
		told, nokia, ok := vendorPorts(packet[headerLength:], vendors)
		a.Blocks, a.nokia, a.BadPorts = append(a.Blocks, told...), nokia, !ok
	}
	if addresses > MaxAddresses || len(a.Blocks) > MaxBlocks {
		return Accounting{}, &DecodeError{ReasonAddressCount}
	}
	if addresses > 0 {
		if err := a.Addresses.read(packet[headerLength:], addresses); err != nil {
			return Accounting{}, &DecodeError{ReasonAttributeValue}
		}
	}
	if !hasStatus {
		return Accounting{}, &DecodeError{ReasonStatusType}
	}
	if len(text.sessionID) == 0 && (a.Status == StatusStart || a.Status == StatusInterim || a.Status == StatusStop) {
		return Accounting{}, &DecodeError{ReasonSessionID}
	}
	number.into(&a)
	if a.NASAddress = nasV4; !nasV4.IsValid() {
		a.NASAddress = nasV6
	}
	var port [10]byte
	if len(text.nasPort) == 0 && hasNASPort {
		text.nasPort = strconv.AppendUint(port[:0], uint64(nasPort), 10)
	}
	d.keep(&a, text)
	return a, nil
}

// keep copies the texts as one string: the packet holds more, which must not
// stay in memory as long as a session does.
func (d *Decoder) keep(a *Accounting, t texts) {
	d.texts = d.texts[:0]
	all := [...]struct {
		from []byte
		to   *string
	}{{t.sessionID, &a.SessionID}, {t.multiSession, &a.MultiSession}, {t.userName, &a.UserName}, {t.nasIdentifier, &a.NASIdentifier},
		{t.nasPort, &a.NASPort}, {t.circuitID, &a.CircuitID}, {t.remoteID, &a.RemoteID}}
	for _, x := range all {
		d.texts = append(d.texts, x.from...)
	}
	rest := string(d.texts)
	for _, x := range all {
		*x.to, rest = rest[:len(x.from)], rest[len(x.from):]
	}
}

// numbers are the attributes that are 32-bit numbers.
type numbers struct {
	event, delay, lasted, cause   uint32
	up, down, upHigh, downHigh    uint32
	packetsUp, packetsDown        uint32
	hasEvent, hasDelay, hasLasted bool
	hasOctets, hasGigawords       bool
}

// read takes in an attribute, if it is one of these.
func (n *numbers) read(kind byte, value []byte) error {
	var to *uint32
	var has *bool
	switch kind {
	case typeEventTimestamp:
		to, has = &n.event, &n.hasEvent
	case typeDelayTime:
		to, has = &n.delay, &n.hasDelay
	case typeSessionTime:
		to, has = &n.lasted, &n.hasLasted
	case typeTerminateCause:
		to = &n.cause
	case typeInputOctets:
		to, has = &n.up, &n.hasOctets
	case typeOutputOctets:
		to, has = &n.down, &n.hasOctets
	case typeInputGigawords:
		to, has = &n.upHigh, &n.hasGigawords
	case typeOutputGigawords:
		to, has = &n.downHigh, &n.hasGigawords
	case typeInputPackets:
		to = &n.packetsUp
	case typeOutputPackets:
		to = &n.packetsDown
	default:
		return nil
	}
	v, err := integer(value)
	*to = v
	if has != nil {
		*has = true
	}
	return err
}

func (n *numbers) into(a *Accounting) {
	if n.hasEvent {
		a.EventAt = time.Unix(int64(n.event), 0).UTC()
	}
	a.Delay, a.HasDelay = time.Duration(n.delay)*time.Second, n.hasDelay
	a.SessionTime, a.HasSessionTime = time.Duration(n.lasted)*time.Second, n.hasLasted
	a.TerminateCause = n.cause
	a.BytesUp = uint64(n.upHigh)<<32 | uint64(n.up)
	a.BytesDown = uint64(n.downHigh)<<32 | uint64(n.down)
	a.PacketsUp, a.PacketsDown = n.packetsUp, n.packetsDown
	a.HasOctets, a.HasGigawords = n.hasOctets || n.hasGigawords, n.hasGigawords
}

// errValue means an attribute whose length its type does not have.
var errValue = errors.New("attribute length")

func integer(value []byte) (uint32, error) {
	if len(value) != 4 {
		return 0, errValue
	}
	return binary.BigEndian.Uint32(value), nil
}

func address(value []byte, length int) (netip.Addr, error) {
	if len(value) != length {
		return netip.Addr{}, errValue
	}
	a, _ := netip.AddrFromSlice(value)
	return a, nil
}

// Attributes of vendor 3561 (RFC 4679 §3.3.1, §3.3.2).
const (
	agentCircuitID = 1
	agentRemoteID  = 2
)

// agentText returns an attribute of vendor 3561 from a Vendor-Specific attribute,
// or nil. Vendor attributes of others may have any form, so a bad one is no error.
func agentText(value []byte, kind byte) []byte {
	const vendorADSLForum = 3561
	if len(value) < 5 || binary.BigEndian.Uint32(value) != vendorADSLForum {
		return nil
	}
	for rest := value[4:]; len(rest) >= 2; {
		length := int(rest[1])
		if length < 2 || length > len(rest) {
			return nil
		}
		if rest[0] == kind && length > 2 {
			return rest[2:length]
		}
		rest = rest[length:]
	}
	return nil
}
