package ledger

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// seedLeaf is an entry with every member.
func seedLeaf(t testing.TB, facts string) []byte {
	t.Helper()
	body := []byte("sealed")
	leaf, err := Entry{Header: Header{V: 1, Kind: "warrant.noted", RequestID: "r:1", Decided: true, At: time.Date(2026, 11, 20, 1, 2, 3, 4000, time.UTC),
		ClockBehindMillis: 3, Actor: "a1", Role: "legal_officer", WarrantID: "w", TaskID: "t", Generation: 2, Reason: "MAX_HITS", KeyID: "case:1",
		Facts: []byte(facts), BodySHA256: hexSHA256(body)}, Body: body}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// sameDecision wants both readers to agree wherever the fast one says anything.
func sameDecision(t interface{ Fatalf(string, ...any) }, leaf []byte) (fast bool) {
	e, ok := decodeFast(7, leaf)
	if !ok {
		return false
	}
	slow, err := decodeSlow(7, leaf)
	if err != nil {
		t.Fatalf("%q: accepted, and %v", leaf, err)
	}
	if !reflect.DeepEqual(e, slow) {
		t.Fatalf("%q: %+v, and %+v", leaf, e, slow)
	}
	return true
}

func FuzzDecodeFast(f *testing.F) {
	for _, facts := range []string{`{}`, `{"a":1,"b":[true,null,"x"],"c":{"d":-12}}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a":-0}`, `{"a":1.5}`, `{"a":"<&>"}`} {
		f.Add([]byte(strings.Replace(string(seedLeaf(f, `{"x":0}`)), `{"x":0}`, facts, 1)))
	}
	f.Add([]byte(`{"header":{"v":1,"kind":"a","at":"2026-11-20T00:00:00Z"}}`))
	f.Add([]byte(`{"header":{"v":1,"kind":"a","at":"2026-11-20T00:00:00,5Z"}}`))
	f.Add([]byte(`{"header":{"v":1,"kind":"a","at":"2026-11-20T00:00:00+00:00"}}`))
	f.Fuzz(func(t *testing.T, leaf []byte) { sameDecision(t, leaf) })
}

// TestFastReaderReadsWhatIsWritten wants the ordinary entry read the fast way, or
// the fast reader would be of no use, and nobody would notice.
func TestFastReaderReadsWhatIsWritten(t *testing.T) {
	if !sameDecision(t, seedLeaf(t, `{"N":12,"list":["a",{"b":false}],"z":"text, of a kind"}`)) {
		t.Error("an entry with every member is read the slow way")
	}
	b := newBench(t)
	l := b.open(t)
	mustAppend(t, l, 3)
	for _, leaf := range func() [][]byte { l.Close(); return b.leaves(t, 1) }() {
		if !sameDecision(t, leaf) {
			t.Errorf("%s is read the slow way", leaf)
		}
	}
}

// TestFastReaderOfAlteredLeaves alters leaves at every place in every way that
// matters, and at random.
func TestFastReaderOfAlteredLeaves(t *testing.T) {
	leaf := seedLeaf(t, `{"a":1,"b":[true,null,"x"],"c":{"d":-12}}`)
	for i := range leaf {
		for _, b := range []byte{leaf[i] ^ 1, leaf[i] ^ 0x20, '"', '\\', ' ', '0', '{', '}', 0x80} {
			altered := append([]byte(nil), leaf...)
			altered[i] = b
			sameDecision(t, altered)
		}
		sameDecision(t, append(append([]byte(nil), leaf[:i]...), leaf[i+1:]...))
		sameDecision(t, leaf[:i])
	}
	rapid.Check(t, func(t *rapid.T) {
		altered := append([]byte(nil), leaf...)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			altered[rapid.IntRange(0, len(altered)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		sameDecision(t, altered)
	})
}

// TestFastEncoding wants the encoder of the append path to make, byte for byte,
// what encoding/json makes: what is hashed, and what bodies are bound to.
func TestFastEncoding(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z0-9._:/+=-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		h := Header{V: 1, Kind: rapid.StringMatching(`[a-z0-9._-]{1,20}`).Draw(t, "kind"), RequestID: rapid.StringMatching(`[A-Za-z0-9._:/-]{0,20}`).Draw(t, "request"),
			At:                time.Unix(rapid.Int64Range(1, 200_000_000_000).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			ClockBehindMillis: rapid.Int64().Draw(t, "behind"), Actor: word.Draw(t, "actor"), Role: word.Draw(t, "role"), WarrantID: word.Draw(t, "warrant"),
			TaskID: word.Draw(t, "task"), Generation: rapid.Uint64().Draw(t, "generation"), Reason: word.Draw(t, "reason")}
		h.Decided = h.RequestID != "" && rapid.Bool().Draw(t, "decided")
		if facts := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "facts"); len(facts) > 0 {
			raw, err := marshal(facts)
			if err != nil {
				t.Fatal(err)
			}
			if h.Facts, err = canonicalObject(raw); err != nil {
				t.Fatal(err)
			}
			if canonicalAlready(raw) && string(raw) != string(h.Facts) {
				t.Fatalf("%s is not canonical: %s is", raw, h.Facts)
			}
		}
		e := Entry{Header: h}
		if body := rapid.SliceOf(rapid.Byte()).Draw(t, "body"); len(body) > 0 {
			e.Header.KeyID, e.Header.BodySHA256, e.Body = "case:1", hexSHA256(body), body
		}
		if err := checkHeader(e.Header); err != nil {
			t.Fatal(err)
		}
		want, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEntry(nil, e); string(got) != string(want) {
			t.Fatalf("%s\nwant %s", got, want)
		}
		if _, err := decodeEntry(0, want); err != nil {
			t.Fatal(err)
		}
	})
}
