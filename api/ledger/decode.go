package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// decodeFast reads a leaf that is in canonical form throughout and has nothing
// unusual in it, which is nearly every one, an order of magnitude faster than
// through reflection: a start and a verification read all there are. false means
// nothing but that the leaf is for decodeSlow to judge. What it accepts,
// decodeSlow accepts, with the same entry: FuzzDecodeFast holds that.
func decodeFast(index uint64, leaf []byte) (Entry, bool) {
	c := cursor{rest: leaf}
	e := Entry{Index: index}
	h := &e.Header
	c.literal(`{"header":{"v":`)
	h.V = int(c.integer())
	c.literal(`,"kind":`)
	h.Kind = c.word()
	h.RequestID = c.member("request_id")
	if c.skip(`,"decided":true`) {
		h.Decided = true
	}
	c.literal(`,"at":`)
	h.At = c.time()
	if c.skip(`,"clock_behind_ms":`) {
		h.ClockBehindMillis = c.integer()
		c.want(h.ClockBehindMillis != 0)
	}
	h.Actor, h.Role = c.member("actor"), c.member("role")
	h.WarrantID, h.TaskID = c.member("warrant_id"), c.member("task_id")
	if c.skip(`,"generation":`) {
		n := c.integer()
		c.want(n > 0)
		h.Generation = uint64(n)
	}
	h.Reason, h.KeyID = c.member("reason"), c.member("key_id")
	if c.skip(`,"facts":`) {
		h.Facts = c.facts()
	}
	h.BodySHA256 = c.member("body_sha256")
	c.literal(`}`)
	if c.skip(`,"body":`) {
		e.Body = c.base64()
	}
	c.literal(`}`)
	if c.bad || len(c.rest) > 0 || h.V != headerVersion || checkForms(*h) != nil {
		return Entry{}, false
	}
	if (h.BodySHA256 != "") != (len(e.Body) > 0) || len(e.Body) > 0 && hexSHA256(e.Body) != h.BodySHA256 {
		return Entry{}, false
	}
	return e, true
}

// cursor reads from the beginning of rest. After a mismatch it is bad, and stays so.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) want(ok bool) { c.bad = c.bad || !ok }

// skip passes over s if that comes next.
func (c *cursor) skip(s string) bool {
	if c.bad || len(c.rest) < len(s) || string(c.rest[:len(s)]) != s {
		return false
	}
	c.rest = c.rest[len(s):]
	return true
}

func (c *cursor) literal(s string) { c.want(c.skip(s)) }

// integer reads a decimal number of at most 18 digits, in its one form.
func (c *cursor) integer() int64 {
	n := 0
	if len(c.rest) > 0 && c.rest[0] == '-' {
		n = 1
	}
	first := n
	for n < len(c.rest) && c.rest[n] >= '0' && c.rest[n] <= '9' {
		n++
	}
	digits := n - first
	if c.bad || digits == 0 || digits > 18 || c.rest[first] == '0' && n > 1 {
		c.bad = true
		return 0
	}
	value, err := strconv.ParseInt(string(c.rest[:n]), 10, 64)
	c.want(err == nil)
	c.rest = c.rest[n:]
	return value
}

// raw reads a string of printable ASCII that needs no escaping, and gives what is
// between the quotes.
func (c *cursor) raw() []byte {
	if c.bad || len(c.rest) == 0 || c.rest[0] != '"' {
		c.bad = true
		return nil
	}
	end := bytes.IndexByte(c.rest[1:], '"')
	if end < 0 {
		c.bad = true
		return nil
	}
	s := c.rest[1 : 1+end]
	for _, b := range s {
		if b < ' ' || b > '~' || b == '\\' {
			c.bad = true
			return nil
		}
	}
	c.rest = c.rest[end+2:]
	return s
}

// word reads a string that is not empty.
func (c *cursor) word() string {
	s := c.raw()
	c.want(len(s) > 0)
	return string(s)
}

// member reads a member that is left out when it is empty.
func (c *cursor) member(name string) string {
	before := c.rest
	if !c.skip(`,"`) || !c.skip(name) || !c.skip(`":`) {
		c.rest = before
		return ""
	}
	return c.word()
}

// time reads an instant in UTC as encoding/json writes it.
func (c *cursor) time() time.Time {
	s := string(c.raw())
	t, err := time.Parse(time.RFC3339Nano, s)
	var again [len(time.RFC3339Nano)]byte
	c.want(err == nil && t.Location() == time.UTC && !t.IsZero() && string(t.AppendFormat(again[:0], time.RFC3339Nano)) == s)
	return t
}

// base64 reads bytes; there are some.
func (c *cursor) base64() []byte {
	text := c.raw()
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(out, text)
	c.want(err == nil && n > 0)
	return out[:n]
}

// facts reads a JSON object in canonical form, and gives a copy.
func (c *cursor) facts() json.RawMessage {
	start := c.rest
	c.want(len(start) > 0 && start[0] == '{')
	c.value(0)
	if c.bad {
		return nil
	}
	return bytes.Clone(start[:len(start)-len(c.rest)])
}

// canonicalAlready says that canonicalObject would change nothing; false says nothing.
func canonicalAlready(object []byte) bool {
	c := cursor{rest: object}
	c.want(len(object) > 0 && object[0] == '{')
	c.value(0)
	return !c.bad && len(c.rest) == 0
}

// maxFactsDepth bounds how deep the fast reader goes.
const maxFactsDepth = 8

// value reads a value of which canonicalObject would change nothing: no white
// space, members sorted, no escapes, whole numbers.
func (c *cursor) value(depth int) {
	if c.bad || len(c.rest) == 0 || depth > maxFactsDepth {
		c.bad = true
		return
	}
	switch c.rest[0] {
	case '"':
		c.raw()
	case '{':
		c.rest = c.rest[1:]
		if c.skip("}") {
			return
		}
		for last := []byte(nil); ; {
			key := c.raw()
			c.want(last == nil || bytes.Compare(last, key) < 0)
			c.literal(":")
			c.value(depth + 1)
			if last = key; c.bad || !c.skip(",") {
				break
			}
		}
		c.literal("}")
	case '[':
		c.rest = c.rest[1:]
		if c.skip("]") {
			return
		}
		for c.value(depth + 1); !c.bad && c.skip(","); {
			c.value(depth + 1)
		}
		c.literal("]")
	case 't', 'f', 'n':
		c.want(c.skip("true") || c.skip("false") || c.skip("null"))
	default:
		c.integer()
	}
}
