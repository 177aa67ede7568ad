package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
)

// RADIUS codes (RFC 2865 §3, RFC 5997) that are taken in or sent.
const (
	codeAccountingRequest  = 4
	codeAccountingResponse = 5
	codeStatusServer       = 12
)

// Limits of RFC 2865 §3.
const (
	headerLength    = 20
	maxPacketLength = 4096
)

// Attribute types that matter here. 8 to 61 are of RFC 2865, 2866 and 2869, the
// others of the RFCs named.
const (
	typeUserName            = 1
	typeNASIPAddress        = 4
	typeNASPort             = 5
	typeFramedIPAddress     = 8
	typeVendorSpecific      = 26
	typeNASIdentifier       = 32
	typeProxyState          = 33
	typeStatusType          = 40
	typeDelayTime           = 41
	typeInputOctets         = 42
	typeOutputOctets        = 43
	typeSessionID           = 44
	typeSessionTime         = 46
	typeInputPackets        = 47
	typeOutputPackets       = 48
	typeTerminateCause      = 49
	typeMultiSessionID      = 50
	typeInputGigawords      = 52
	typeOutputGigawords     = 53
	typeEventTimestamp      = 55
	typeMessageAuth         = 80
	typeNASPortID           = 87
	typeNASIPv6Address      = 95  // RFC 3162
	typeFramedIPv6Prefix    = 97  // RFC 3162
	typeDelegatedIPv6Prefix = 123 // RFC 4818
	typeFramedIPv6Address   = 168 // RFC 6911
)

// A Decoder reads accounting requests with memory of its own, so that a request
// costs two allocations: its texts and its addresses. It is not safe for
// concurrent use; the zero value is ready.
type Decoder struct {
	scratch []byte // what is hashed
	texts   []byte
}

// frame cuts datagram to its Length field (RFC 2865 §3: what follows is padding)
// and checks code, attributes and, unless secret is nil, authenticity.
func (d *Decoder) frame(datagram, secret []byte) ([]byte, error) {
	if len(datagram) < headerLength {
		return nil, &DecodeError{ReasonLength}
	}
	length := int(binary.BigEndian.Uint16(datagram[2:]))
	if length < headerLength || length > maxPacketLength || length > len(datagram) {
		return nil, &DecodeError{ReasonLength}
	}
	packet := datagram[:length]
	code := packet[0]
	if code != codeAccountingRequest && code != codeStatusServer {
		return nil, &DecodeError{ReasonCode}
	}
	// Authenticity first: attributes of a stranger are not worth parsing.
	if secret != nil && code == codeAccountingRequest && !d.authenticRequest(packet, secret) {
		return nil, &DecodeError{ReasonAuthenticator}
	}
	for rest := packet[headerLength:]; len(rest) > 0; rest = rest[rest[1]:] {
		if len(rest) < 2 || rest[1] < 2 || int(rest[1]) > len(rest) {
			return nil, &DecodeError{ReasonAttribute}
		}
	}
	if secret != nil && !authenticMessage(packet, secret) {
		return nil, &DecodeError{ReasonAuthenticator}
	}
	return packet, nil
}

// authenticRequest checks the Request Authenticator of an Accounting-Request,
// MD5(Code + Identifier + Length + 16 zero octets + attributes + secret) (RFC
// 2866 §3), in constant time. packet is cut to its Length field.
func (d *Decoder) authenticRequest(packet, secret []byte) bool {
	var zero [md5.Size]byte
	d.scratch = append(d.scratch[:0], packet[:4]...)
	d.scratch = append(d.scratch, zero[:]...)
	d.scratch = append(d.scratch, packet[headerLength:]...)
	d.scratch = append(d.scratch, secret...)
	sum := md5.Sum(d.scratch)
	return subtle.ConstantTimeCompare(sum[:], packet[4:headerLength]) == 1
}

// authenticMessage checks Message-Authenticator (RFC 2869 §5.14). A
// Status-Server must carry it, being otherwise unauthenticated (RFC 5997 §3);
// an Accounting-Request may, and is then computed over a zero Request
// Authenticator. packet has well-formed attributes.
func authenticMessage(packet, secret []byte) bool {
	status := packet[0] == codeStatusServer
	for at := headerLength; at < len(packet); at += int(packet[at+1]) {
		if packet[at] != typeMessageAuth {
			continue
		}
		if int(packet[at+1]) != 2+md5.Size {
			return false
		}
		var zero, sum [md5.Size]byte
		mac := hmac.New(md5.New, secret)
		mac.Write(packet[:4])
		if status {
			mac.Write(packet[4:headerLength])
		} else {
			mac.Write(zero[:])
		}
		mac.Write(packet[headerLength : at+2])
		mac.Write(zero[:])
		mac.Write(packet[at+2+md5.Size:])
		return hmac.Equal(mac.Sum(sum[:0]), packet[at+2:at+2+md5.Size])
	}
	return !status
}

// reply is what it takes to answer a request once it is durable.
type reply struct {
	identifier    byte
	authenticator [16]byte
	proxyState    []byte // Proxy-State attributes, whole and in order
}

// replyTo notes what the answer to packet needs; packet may then be reused.
func replyTo(packet []byte) reply {
	r := reply{identifier: packet[1], authenticator: [16]byte(packet[4:])}
	for rest := packet[headerLength:]; len(rest) > 0; rest = rest[rest[1]:] {
		if rest[0] == typeProxyState {
			r.proxyState = append(r.proxyState, rest[:rest[1]]...)
		}
	}
	return r
}

// encode writes the Accounting-Response (RFC 2866 §4.2) with its Response
// Authenticator and the Proxy-State of the request (RFC 2865 §5.33).
func (r reply) encode(secret []byte) []byte {
	length := headerLength + len(r.proxyState)
	packet := make([]byte, 0, length+len(secret))
	packet = append(packet, codeAccountingResponse, r.identifier, byte(length>>8), byte(length))
	packet = append(packet, r.authenticator[:]...)
	packet = append(packet, r.proxyState...)
	sum := md5.Sum(append(packet, secret...))
	copy(packet[4:], sum[:])
	return packet
}
