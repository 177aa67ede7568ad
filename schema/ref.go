package schema

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ID is a 128-bit identifier of a session, assignment, counter or coverage
// interval. Its text form is 32 hexadecimal digits.
type ID [16]byte

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *ID) UnmarshalText(text []byte) error { return unmarshal128(id[:], text, "id") }

// AccessRef is the 128-bit pseudonym of an access identifier, the only
// reference to a line in the traffic store. It is HMAC-SHA-256, truncated,
// under a secret that the store never holds.
type AccessRef [16]byte

// String returns the reference in hexadecimal. It is a pseudonym, still personal
// data: it belongs in rows and never in a log line, metric or error.
func (r AccessRef) String() string { return hex.EncodeToString(r[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (r AccessRef) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *AccessRef) UnmarshalText(text []byte) error { return unmarshal128(r[:], text, "access ref") }

func unmarshal128(dst, text []byte, what string) error {
	if hex.DecodedLen(len(text)) != len(dst) {
		return fmt.Errorf("%s: want %d hexadecimal digits, have %d", what, hex.EncodedLen(len(dst)), len(text))
	}
	_, err := hex.Decode(dst, text)
	if err != nil {
		return fmt.Errorf("%s: not hexadecimal", what)
	}
	return nil
}

// IdentifierKind says what sort of access identifier the network showed.
type IdentifierKind string

// Kinds of access identifier.
const (
	IdentRADIUSUser   IdentifierKind = "radius-user"   // User-Name, as sent
	IdentCircuit      IdentifierKind = "circuit-id"    // option 82, TR-101 tag or DHCPv6 interface-id of an access node, hexadecimal
	IdentMAC          IdentifierKind = "mac"           // IFNAME/OUTER.INNER/aa:bb:cc:dd:ee:ff
	IdentClientID     IdentifierKind = "client-id"     // IFNAME/OUTER.INNER/hexadecimal of option 61
	IdentStaticPrefix IdentifierKind = "static-prefix" // CIDR
	IdentRemote       IdentifierKind = "remote-id"     // DHCPv6 option 37 of an access node, or Agent-Remote-Id in RADIUS; hexadecimal with its enterprise number
	IdentDUID         IdentifierKind = "duid"          // IFNAME/OUTER.INNER/hexadecimal of the DHCPv6 client id
	IdentSubscriber   IdentifierKind = "subscriber-id" // sub-option 6 of option 82 or DHCPv6 option 38, hexadecimal
)

// IdentifierKinds lists every kind.
var IdentifierKinds = []IdentifierKind{IdentRADIUSUser, IdentCircuit, IdentMAC, IdentClientID, IdentStaticPrefix, IdentRemote, IdentDUID, IdentSubscriber}

// Identifier is what the network sees of a line, before it is pseudonymised.
type Identifier struct {
	Kind  IdentifierKind
	Value string
}

// ParseIdentifier reads KIND:VALUE.
func ParseIdentifier(s string) (Identifier, error) {
	kind, value, ok := strings.Cut(s, ":")
	if !ok || value == "" {
		return Identifier{}, errors.New("access identifier: want KIND:VALUE")
	}
	for _, k := range IdentifierKinds {
		if string(k) == kind {
			return Identifier{k, value}, nil
		}
	}
	return Identifier{}, fmt.Errorf("access identifier: unknown kind %q", kind)
}

// Pseudonymiser turns identifiers into references and names into IDs under one
// secret. It is safe for concurrent use.
type Pseudonymiser struct{ key []byte }

// KeyLength is the length of a pseudonym key in bytes.
const KeyLength = 32

// NewPseudonymiser returns a Pseudonymiser for a key of [KeyLength] bytes.
func NewPseudonymiser(key []byte) (*Pseudonymiser, error) {
	if len(key) != KeyLength {
		return nil, fmt.Errorf("pseudonym key: want %d bytes, have %d", KeyLength, len(key))
	}
	return &Pseudonymiser{append([]byte(nil), key...)}, nil
}

// ReadPseudonymKey reads a key file: 64 hexadecimal digits and an optional newline.
func ReadPseudonymKey(path string) (*Pseudonymiser, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("pseudonym key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("pseudonym key %s: not hexadecimal; make one with `openssl rand -hex %d`", path, KeyLength)
	}
	return NewPseudonymiser(key)
}

// Ref returns the pseudonym of an access identifier.
func (p *Pseudonymiser) Ref(id Identifier) AccessRef {
	return AccessRef(p.sum("access-ref", string(id.Kind), id.Value))
}

// ID returns the identifier of the thing that parts name, within a domain such
// as "session". Parts are length-prefixed, so ("a","bc") and ("ab","c") differ.
func (p *Pseudonymiser) ID(domain string, parts ...string) ID {
	return ID(p.sum(append([]string{domain}, parts...)...))
}

func (p *Pseudonymiser) sum(parts ...string) (out [16]byte) {
	mac := hmac.New(sha256.New, p.key)
	for _, s := range parts {
		fmt.Fprintf(mac, "%d:", len(s))
		io.WriteString(mac, s)
	}
	copy(out[:], mac.Sum(nil))
	return out
}
