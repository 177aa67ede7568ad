package oversight

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"griffier/api/ledger"
)

// TagPeriod is how long tags are made under one key, and Window how far back they
// are matched. A key is destroyed a Window after its period, so none lives for
// more than 60 days.
const (
	TagPeriod = 30 * 24 * time.Hour
	Window    = 30 * 24 * time.Hour
)

// Kinds of entry about the keys of tags.
const (
	KindTagKey         = "oversight.tag_key"
	KindTagKeyShredded = "oversight.tag_key_shredded"
)

// SecretBytes is the length of the secret of a period.
const SecretBytes = 32

// Period returns the number of the period that t lies in.
func Period(t time.Time) int64 { return t.Unix() / int64(TagPeriod/time.Second) }

const tagKeyPrefix = "oversight:tags:"

// TagKeyID returns the name of a period's n-th key in the keystore; there is one,
// number 0, unless it was lost. The ledger has the secret in the body that the key
// seals, so destroying the key destroys it.
func TagKeyID(period int64, n int) string {
	return tagKeyPrefix + strconv.FormatInt(period, 10) + "." + strconv.Itoa(n)
}

// MatchableUntil returns when the last tag under a key leaves the window.
func MatchableUntil(keyID string) (time.Time, bool) {
	text, ok := strings.CutPrefix(keyID, tagKeyPrefix)
	text, _, _ = strings.Cut(text, ".")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !ok {
		return time.Time{}, false
	}
	return time.Unix((n+1)*int64(TagPeriod/time.Second), 0).Add(Window).UTC(), true
}

// Domain is what a tag is of.
type Domain string

// Domains.
const (
	OfLine   Domain = "line"
	OfTarget Domain = "target"
)

// Tag is a keyed hash of a value that an entry was about.
type Tag struct {
	At        time.Time
	Domain    Domain
	WarrantID string
	TaskID    string // of [OfLine] only
	KeyID     string
	MAC       string
}

// Secrets are the secrets that there still are, by the name of their key.
type Secrets map[string][]byte

// own is the random id that keeps this tag from being equal to any other.
func (t *Tag) own() string {
	if t.TaskID != "" {
		return t.TaskID
	}
	return t.WarrantID
}

// Seal sets the tag's MAC over a value, under the secret of its key.
func (t Tag) Seal(secret []byte, value string) Tag {
	t.MAC = string(t.mac(hmac.New(sha256.New, secret), value, nil))
	return t
}

// mac appends the MAC over a value to b, in hexadecimal.
func (t *Tag) mac(h hash.Hash, value string, b []byte) []byte {
	h.Reset()
	var in [256]byte
	text := in[:0]
	for _, s := range []string{"oversight-tag", string(t.Domain), t.own(), value} {
		text = strconv.AppendInt(text, int64(len(s)), 10)
		text = append(append(text, ':'), s...)
	}
	h.Write(text)
	var sum [sha256.Size]byte
	return hex.AppendEncode(b, h.Sum(sum[:0])[:16])
}

// Of reports whether the tag is of a value. Once its key is destroyed it is of none.
func (t Tag) Of(secrets Secrets, value string) bool { return secrets.of(value)(&t) }

// of returns what tells whether a tag is of a value. It is for one goroutine.
func (s Secrets) of(value string) func(*Tag) bool {
	hashes := map[string]hash.Hash{}
	for id, secret := range s {
		hashes[id] = hmac.New(sha256.New, secret)
	}
	var b [2 * sha256.Size]byte
	return func(t *Tag) bool {
		h := hashes[t.KeyID]
		return h != nil && subtle.ConstantTimeCompare(t.mac(h, value, b[:0]), []byte(t.MAC)) == 1
	}
}

// TagKey is what the ledger knows of a period's key.
type TagKey struct {
	ID       string
	Index    uint64 // of the entry whose body has the secret
	Shredded bool
}

type tagKeyFacts struct {
	KeyID string `json:"tag_key_id"`
}

type tagKeyBody struct {
	Secret []byte `json:"secret"`
}

// MakeTagKey drafts the entry of a secret.
func MakeTagKey(id string, secret []byte) ledger.Draft {
	return ledger.Draft{Kind: KindTagKey, Role: "system", KeyID: id, Facts: tagKeyFacts{id}, Body: tagKeyBody{secret}}
}

// SecretOf reads the secret from the body of a [KindTagKey] entry.
func SecretOf(body []byte) ([]byte, error) {
	var b tagKeyBody
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("secret of tags: %w", err)
	}
	if len(b.Secret) != SecretBytes {
		return nil, fmt.Errorf("secret of tags: %d bytes, want %d", len(b.Secret), SecretBytes)
	}
	return b.Secret, nil
}

// ShreddedTagKey drafts the entry that a key was destroyed.
func ShreddedTagKey(keyID string) ledger.Draft {
	return ledger.Draft{Kind: KindTagKeyShredded, Role: "system", Facts: tagKeyFacts{keyID}}
}

// TagKeys returns the keys that are not destroyed, oldest first.
func (s *State) TagKeys() []TagKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []TagKey
	for _, k := range s.keys {
		if !k.Shredded {
			out = append(out, k)
		}
	}
	return out
}

// DestroyedTagKeys returns the names of the others.
func (s *State) DestroyedTagKeys() (ids []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.keys {
		if k.Shredded {
			ids = append(ids, k.ID)
		}
	}
	return ids
}

// HasTagKey reports whether the ledger has a key, destroyed or not.
func (s *State) HasTagKey(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.keys, func(k TagKey) bool { return k.ID == id })
}

// tagsSince gives those of a domain since an instant, oldest first; mu is
// held.
func (s *State) tagsSince(d Domain, since time.Time) iter.Seq[*Tag] {
	return func(each func(*Tag) bool) {
		for i := range s.tags {
			if t := &s.tags[i]; t.Domain == d && t.At.After(since) && !each(t) {
				return
			}
		}
	}
}

// forget drops tags that left the window; mu is held for writing.
func (s *State) forget(now time.Time) {
	n := 0
	for n < len(s.tags) && !s.tags[n].At.After(now.Add(-Window)) {
		n++
	}
	s.tags = s.tags[n:]
}

func (s *State) applyTagKey(e ledger.Entry) error {
	var f tagKeyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	for i := range s.keys {
		if s.keys[i].ID == f.KeyID {
			s.keys[i].Shredded = s.keys[i].Shredded || e.Header.Kind == KindTagKeyShredded
			return nil
		}
	}
	if e.Header.Kind == KindTagKey {
		s.keys = append(s.keys, TagKey{ID: f.KeyID, Index: e.Index})
	}
	return nil
}
