package radius

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
	"layeh.com/radius/rfc6911"
)

// Status is an Acct-Status-Type (RFC 2866 §5.1).
type Status uint32

// The status types that bear on sessions. Others (tunnels and links, RFC 2867)
// are acknowledged and otherwise ignored.
const (
	StatusStart   Status = 1
	StatusStop    Status = 2
	StatusInterim Status = 3
	StatusOn      Status = 7
	StatusOff     Status = 8
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
	UserName      string     // User-Name as sent, empty if absent
	CircuitID     []byte     // Agent-Circuit-Id (RFC 4679), nil if absent
	NASIdentifier string     // empty if absent
	NASAddress    netip.Addr // NAS-IP-Address, else NAS-IPv6-Address
	NASPort       string     // NAS-Port-Id, else NAS-Port in decimal
	Addresses     Addresses

	EventAt        time.Time     // Event-Timestamp, zero if absent
	Delay          time.Duration // Acct-Delay-Time
	HasDelay       bool
	SessionTime    time.Duration // Acct-Session-Time
	HasSessionTime bool
	TerminateCause uint32 // Acct-Terminate-Cause, 0 if absent

	// BytesUp and BytesDown are Acct-Input- and Acct-Output-Octets with their
	// gigawords (RFC 2869 §5.1, §5.2): the session's totals as the NAS counts.
	BytesUp, BytesDown uint64
}

// Decode reads the Accounting-Request in datagram and checks its Request
// Authenticator against secret. A nil secret skips that check: a capture has
// none. Octets past the Length field are padding and ignored (RFC 2865 §3). The
// error is a [*DecodeError].
func Decode(datagram, secret []byte) (Accounting, error) {
	packet, err := parse(datagram, secret)
	if err != nil {
		return Accounting{}, err
	}
	if packet.Code != radius.CodeAccountingRequest {
		return Accounting{}, &DecodeError{ReasonCode}
	}
	return accounting(packet)
}

// parse checks framing and, with a secret, authenticity of an
// Accounting-Request or Status-Server.
func parse(datagram, secret []byte) (*radius.Packet, error) {
	const header = 20
	if len(datagram) < header {
		return nil, &DecodeError{ReasonLength}
	}
	length := int(binary.BigEndian.Uint16(datagram[2:]))
	if length < header || length > radius.MaxPacketLength || length > len(datagram) {
		return nil, &DecodeError{ReasonLength}
	}
	datagram = datagram[:length]
	code := radius.Code(datagram[0])
	if code != radius.CodeAccountingRequest && code != radius.CodeStatusServer {
		return nil, &DecodeError{ReasonCode}
	}
	// Authenticity first: attributes of a stranger are not worth parsing.
	if secret != nil && code == radius.CodeAccountingRequest && !authenticRequest(datagram, secret) {
		return nil, &DecodeError{ReasonAuthenticator}
	}
	packet, err := radius.Parse(datagram, secret)
	if err != nil {
		return nil, &DecodeError{ReasonAttribute}
	}
	if secret != nil && !authenticMessage(datagram, secret) {
		return nil, &DecodeError{ReasonAuthenticator}
	}
	return packet, nil
}

// accounting reads the attributes of an Accounting-Request. One impossible
// value rejects the whole request: half a record would be worse than none.
func accounting(packet *radius.Packet) (Accounting, error) {
	var (
		a           Accounting
		hasStatus   bool
		nasV4       netip.Addr
		nasV6       netip.Addr
		nasPort     string
		up, down    uint32
		upG, downG  uint32
		addresses   int
		err         error
		eventSecond uint32
		hasEvent    bool
	)
	for _, avp := range packet.Attributes {
		value := []byte(avp.Attribute)
		switch avp.Type {
		case rfc2866.AcctStatusType_Type:
			var v uint32
			v, err = integer(value)
			a.Status, hasStatus = Status(v), true
		case rfc2866.AcctSessionID_Type:
			a.SessionID = string(value)
		case rfc2865.UserName_Type:
			a.UserName = string(value)
		case rfc2865.NASIdentifier_Type:
			a.NASIdentifier = string(value)
		case rfc2865.NASIPAddress_Type:
			nasV4, err = address(value, 4)
		case rfc3162.NASIPv6Address_Type:
			nasV6, err = address(value, 16)
		case rfc2869.NASPortID_Type:
			a.NASPort = string(value)
		case rfc2865.NASPort_Type:
			var v uint32
			v, err = integer(value)
			nasPort = strconv.FormatUint(uint64(v), 10)
		case rfc2865.VendorSpecific_Type:
			if circuit := agentCircuitID(value); circuit != nil {
				a.CircuitID = circuit
			}
		case rfc2869.EventTimestamp_Type:
			eventSecond, err = integer(value)
			hasEvent = true
		case rfc2866.AcctDelayTime_Type:
			a.Delay, err = seconds(value)
			a.HasDelay = true
		case rfc2866.AcctSessionTime_Type:
			a.SessionTime, err = seconds(value)
			a.HasSessionTime = true
		case rfc2866.AcctTerminateCause_Type:
			a.TerminateCause, err = integer(value)
		case rfc2866.AcctInputOctets_Type:
			up, err = integer(value)
		case rfc2866.AcctOutputOctets_Type:
			down, err = integer(value)
		case rfc2869.AcctInputGigawords_Type:
			upG, err = integer(value)
		case rfc2869.AcctOutputGigawords_Type:
			downG, err = integer(value)
		case rfc2865.FramedIPAddress_Type, rfc3162.FramedIPv6Prefix_Type,
			rfc4818.DelegatedIPv6Prefix_Type, rfc6911.FramedIPv6Address_Type:
			addresses++
			err = a.Addresses.add(avp.Type, value)
		}
		if err != nil {
			return Accounting{}, &DecodeError{ReasonAttributeValue}
		}
	}
	if addresses > MaxAddresses {
		return Accounting{}, &DecodeError{ReasonAddressCount}
	}
	if !hasStatus {
		return Accounting{}, &DecodeError{ReasonStatusType}
	}
	if a.SessionID == "" && (a.Status == StatusStart || a.Status == StatusInterim || a.Status == StatusStop) {
		return Accounting{}, &DecodeError{ReasonSessionID}
	}
	if hasEvent {
		a.EventAt = time.Unix(int64(eventSecond), 0).UTC()
	}
	if a.NASPort == "" {
		a.NASPort = nasPort
	}
	if a.NASAddress = nasV4; !nasV4.IsValid() {
		a.NASAddress = nasV6
	}
	a.BytesUp = uint64(upG)<<32 | uint64(up)
	a.BytesDown = uint64(downG)<<32 | uint64(down)
	return a, nil
}

func integer(value []byte) (uint32, error) { return radius.Integer(value) }

func seconds(value []byte) (time.Duration, error) {
	v, err := radius.Integer(value)
	return time.Duration(v) * time.Second, err
}

func address(value []byte, length int) (netip.Addr, error) {
	if len(value) != length {
		return netip.Addr{}, fmt.Errorf("address: %d octets", len(value))
	}
	a, _ := netip.AddrFromSlice(value)
	return a, nil
}

// agentCircuitID returns Agent-Circuit-Id (vendor 3561, type 1; RFC 4679 §3.3.1)
// from a Vendor-Specific attribute, or nil. Vendor attributes of others may have
// any form, so a bad one is no error.
func agentCircuitID(value []byte) []byte {
	const vendorADSLForum, typeCircuitID = 3561, 1
	vendor, rest, err := radius.VendorSpecific(value)
	if err != nil || vendor != vendorADSLForum {
		return nil
	}
	for len(rest) >= 2 {
		length := int(rest[1])
		if length < 2 || length > len(rest) {
			return nil
		}
		if rest[0] == typeCircuitID && length > 2 {
			return append([]byte(nil), rest[2:length]...)
		}
		rest = rest[length:]
	}
	return nil
}
