package enrol

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"regexp"
)

// token is what an engineer hands to a collector: an id, which is no secret, and
// a secret of 130 bits.
type token struct{ id, secret string }

var tokenForm = regexp.MustCompile(`^([0-9a-f]{16})-([A-Z2-7]{26})$`)

func newToken() token {
	var id [8]byte
	rand.Read(id[:]) // never fails
	return token{hex.EncodeToString(id[:]), rand.Text()}
}

func (t token) text() string { return t.id + "-" + t.secret }

// hash is what is kept of a token.
func (t token) hash() string {
	sum := sha256.Sum256([]byte("enrolment-token:" + t.text()))
	return hex.EncodeToString(sum[:])
}

// is tells, in a time that does not depend on it, whether the hash is this token's.
func (t token) is(hash string) bool {
	return subtle.ConstantTimeCompare([]byte(t.hash()), []byte(hash)) == 1
}

func parseToken(text string) (token, bool) {
	m := tokenForm.FindStringSubmatch(text)
	if m == nil {
		return token{}, false
	}
	return token{m[1], m[2]}, true
}
