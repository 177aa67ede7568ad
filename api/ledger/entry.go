package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"griffier/api/strictjson"
)

// MaxEntryBytes is the largest entry, header and body together, as encoded: the
// limit of the tile format (C2SP tlog-tiles).
const MaxEntryBytes = 1<<16 - 1

// headerVersion is the version of Header that this program writes and reads.
const headerVersion = 1

// Header is the clear part of an entry: all that a fold needs, and no personal
// data. Its JSON form, with these members in this order, is what is hashed.
type Header struct {
	V         int       `json:"v"`
	Kind      string    `json:"kind"`
	RequestID string    `json:"request_id,omitempty"`
	Decided   bool      `json:"decided,omitempty"` // written by Decide: RequestID is then unique in the log
	At        time.Time `json:"at"`                // UTC; never before the entry before it
	// ClockBehindMillis is how far the clock stood behind the entry before this
	// one, where that was more than the tolerance: At is then not to be trusted
	// as a time, only as an order.
	ClockBehindMillis int64           `json:"clock_behind_ms,omitempty"`
	Actor             string          `json:"actor,omitempty"` // pseudonym
	Role              string          `json:"role,omitempty"`
	WarrantID         string          `json:"warrant_id,omitempty"`
	TaskID            string          `json:"task_id,omitempty"`
	Generation        uint64          `json:"generation,omitempty"`
	Reason            string          `json:"reason,omitempty"`
	KeyID             string          `json:"key_id,omitempty"` // the key of the body; empty without one
	Facts             json.RawMessage `json:"facts,omitempty"`  // a JSON object, canonical
	BodySHA256        string          `json:"body_sha256,omitempty"`
}

// Entry is one entry of the log.
type Entry struct {
	Index  uint64
	Header Header
	Body   []byte // sealed under Header.KeyID, bound to the header; nil without one
}

// Draft is an entry before it has a time and a place.
type Draft struct {
	Kind       string // 1 to 64 of a-z 0-9 . _ -
	RequestID  string // 0 to 128 of A-Z a-z 0-9 . _ : / -; see RequestID
	Actor      string
	Role       string
	WarrantID  string
	TaskID     string
	Generation uint64
	Reason     string
	KeyID      string // the key, which must exist, that seals Body
	Facts      any    // marshalled to a JSON object in clear; nil for none. No personal data
	Body       any    // marshalled to JSON and sealed; nil for none
}

// wireEntry is what is hashed and stored.
type wireEntry struct {
	Header Header `json:"header"`
	Body   []byte `json:"body,omitempty"`
}

// Encode gives the bytes that are the leaf of the Merkle tree.
func (e Entry) Encode() ([]byte, error) {
	return marshal(wireEntry{Header: e.Header, Body: e.Body})
}

// LeafHash gives the entry's leaf hash (RFC 6962 §2.1).
func (e Entry) LeafHash() ([]byte, error) {
	leaf, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return rfc6962.DefaultHasher.HashLeaf(leaf), nil
}

// RequestID makes the request id of a command for Decide: a hash of who asked,
// what was asked, and the id that the client chose. The hash keeps one caller
// from finding another's answer, and keeps whatever a client wrote into its id
// out of the clear header.
func RequestID(actor, method, clientID string) string {
	text, _ := json.Marshal([]string{actor, method, clientID}) // strings always marshal
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// decodeEntry parses a leaf and checks everything about it that needs neither
// key nor neighbour. Anything but the one canonical encoding is an error, so
// that no two readers can understand one leaf differently.
func decodeEntry(index uint64, leaf []byte) (Entry, error) {
	if e, ok := decodeFast(index, leaf); ok {
		return e, nil
	}
	return decodeSlow(index, leaf)
}

// decodeSlow is decodeEntry in the words of encoding/json.
func decodeSlow(index uint64, leaf []byte) (Entry, error) {
	var w wireEntry
	if err := strictjson.Unmarshal(leaf, &w); err != nil {
		return Entry{}, fmt.Errorf("not an entry: %w", err)
	}
	if w.Header.V != headerVersion {
		return Entry{}, fmt.Errorf("header version %d: this program knows %d", w.Header.V, headerVersion)
	}
	if err := checkHeader(w.Header); err != nil {
		return Entry{}, err
	}
	if (w.Header.BodySHA256 != "") != (len(w.Body) > 0) {
		return Entry{}, errors.New("body and body_sha256 do not go together")
	}
	if len(w.Body) > 0 && hexSHA256(w.Body) != w.Header.BodySHA256 {
		return Entry{}, errors.New("body does not match body_sha256")
	}
	again, err := marshal(w)
	if err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(again, leaf) {
		return Entry{}, errors.New("not in canonical form")
	}
	return Entry{Index: index, Header: w.Header, Body: w.Body}, nil
}

// Forms of a header's members, by the bytes that they may have.
var (
	kindForm      = newForm(1, 64, "a-z0-9._-")
	requestIDForm = newForm(0, 128, "A-Za-z0-9._:/-")
	// wordForm is the form of pseudonyms, roles, ids and reasons: no spaces and
	// no @, so that neither a name nor a mail address fits by mistake.
	wordForm = newForm(0, 256, "A-Za-z0-9._:/+=-")
)

// form is a length and a set of bytes. Regular expressions take most of the time
// of a verification.
type form struct {
	least, most int
	allowed     [256]bool
}

// newForm reads a set as in a bracket expression: ranges, and a hyphen at the end.
func newForm(least, most int, set string) form {
	f := form{least: least, most: most}
	for i := 0; i < len(set); i++ {
		from, to := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' {
			to = set[i+2]
			i += 2
		}
		for b := int(from); b <= int(to); b++ {
			f.allowed[b] = true
		}
	}
	return f
}

// MatchString says whether all of s has the form.
func (f *form) MatchString(s string) bool {
	if len(s) < f.least || len(s) > f.most {
		return false
	}
	for i := range len(s) {
		if !f.allowed[s[i]] {
			return false
		}
	}
	return true
}

// checkHeader checks the form of every member.
func checkHeader(h Header) error {
	if err := checkForms(h); err != nil {
		return err
	}
	if len(h.Facts) > 0 {
		canonical, err := canonicalObject(h.Facts)
		if err != nil {
			return fmt.Errorf("header: facts: %w", err)
		}
		if !bytes.Equal(canonical, h.Facts) {
			return errors.New("header: facts are not in canonical form")
		}
	}
	return nil
}

// checkForms is checkHeader without the facts.
func checkForms(h Header) error {
	if !kindForm.MatchString(h.Kind) {
		return errors.New("header: kind is not 1 to 64 of a-z 0-9 . _ -")
	}
	if !requestIDForm.MatchString(h.RequestID) {
		return errors.New("header: request_id is not up to 128 of A-Z a-z 0-9 . _ : / -")
	}
	for _, m := range [...]struct{ name, value string }{
		{"actor", h.Actor}, {"role", h.Role}, {"warrant_id", h.WarrantID},
		{"task_id", h.TaskID}, {"reason", h.Reason}, {"key_id", h.KeyID},
	} {
		if !wordForm.MatchString(m.value) {
			return fmt.Errorf("header: %s is not up to 256 of A-Z a-z 0-9 . _ : / + = -", m.name)
		}
	}
	if h.Decided && h.RequestID == "" {
		return errors.New("header: a decision without request_id")
	}
	if h.At.IsZero() || h.At.Location() != time.UTC {
		return errors.New("header: at is not a time in UTC")
	}
	if (h.KeyID != "") != (h.BodySHA256 != "") {
		return errors.New("header: key_id and body_sha256 do not go together")
	}
	return nil
}

// header makes the header of a draft, without time and body hash.
func (d Draft) header(decided bool) (Header, error) {
	h := Header{
		V: headerVersion, Kind: d.Kind, RequestID: d.RequestID, Decided: decided,
		Actor: d.Actor, Role: d.Role, WarrantID: d.WarrantID, TaskID: d.TaskID,
		Generation: d.Generation, Reason: d.Reason,
	}
	if d.Facts != nil {
		raw, err := marshal(d.Facts)
		if err != nil {
			return Header{}, fmt.Errorf("facts: %w", err)
		}
		if h.Facts = raw; !canonicalAlready(raw) {
			if h.Facts, err = canonicalObject(raw); err != nil {
				return Header{}, fmt.Errorf("facts: %w", err)
			}
		}
	}
	return h, nil
}

// bodyContext is what a sealed body is bound to: the SHA-256 of the canonical
// header. body_sha256 is left out there, being the hash of the result.
func bodyContext(h Header) ([]byte, error) {
	h.BodySHA256 = ""
	canonical, err := marshal(h)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(canonical)
	return sum[:], nil
}

// marshal is json.Marshal without the escaping of <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// canonicalObject rewrites a JSON object with its members sorted at every
// level, numbers as they were written, no white space and no duplicates.
func canonicalObject(raw []byte) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("not an object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("bytes after the object")
	}
	return marshal(object)
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
