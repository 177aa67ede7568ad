package oversight

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// disclose enters a disclosure about a line, and returns what it was linked to.
func (b *book) disclose(at time.Time, secrets Secrets, keyID, warrantID, taskID, line string) Link {
	t := Tag{Domain: OfLine, WarrantID: warrantID, TaskID: taskID, KeyID: keyID}.Seal(secrets[keyID], line)
	l := b.state.Linked(at, t, secrets, line)
	b.append(at, LinkageDraft(t, l, "class"))
	return l
}

func secretOf(n byte) []byte { return bytes.Repeat([]byte{n + 1}, SecretBytes) }

// Whatever is disclosed when, the alarm is raised exactly when the disclosures about
// one line in the 30 days before are three under two warrants, rotation of keys or
// not, and a restart changes nothing.
func TestAlarmExactlyAtTheThreshold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(rt)
		type made struct {
			at                  time.Time
			warrantID, id, line string
		}
		var all []made
		secrets := Secrets{}
		now := time.Unix(0, 0).Add(time.Duration(rapid.IntRange(680, 700).Draw(rt, "period")) * TagPeriod).UTC()
		for range rapid.IntRange(1, 40).Draw(rt, "disclosures") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 3600, 86400, 5 * 86400, 15 * 86400, 30*86400 - 1, 30 * 86400}).Draw(rt, "wait")) * time.Second)
			for keyID := range secrets { // as the watch rotates
				if until, ok := MatchableUntil(keyID); !ok || !now.Before(until) {
					delete(secrets, keyID)
				}
			}
			keyID := TagKeyID(Period(now), 0)
			if secrets[keyID] == nil {
				secrets[keyID] = secretOf(byte(Period(now)))
			}
			m := made{now, id(rapid.IntRange(1, 4).Draw(rt, "warrant")), id(100 + rapid.IntRange(0, 25).Draw(rt, "task")), rapid.SampledFrom([]string{"L-1", "L-2"}).Draw(rt, "line")}
			if i := slices.IndexFunc(all, func(o made) bool { return o.id == m.id }); i >= 0 { // a task is about one line, under one warrant
				m.warrantID, m.line = all[i].warrantID, all[i].line
			}
			all = append(all, m)
			tasks, warrants := map[string]bool{}, map[string]bool{}
			for _, o := range all {
				if o.line == m.line && o.at.After(now.Add(-30*day)) {
					tasks[o.id], warrants[o.warrantID] = true, true
				}
			}
			got := b.disclose(now, secrets, keyID, m.warrantID, m.id, m.line)
			if got.Disclosures != len(tasks) || len(got.Warrants) != len(warrants) || got.Alarming() != (len(tasks) >= 3 && len(warrants) >= 2) {
				rt.Fatalf("linked %+v, want %d disclosures under %d warrants", got, len(tasks), len(warrants))
			}
			again := Tag{Domain: OfLine, WarrantID: m.warrantID, TaskID: m.id, KeyID: keyID}.Seal(secrets[keyID], m.line)
			if after := b.again().Linked(now, again, secrets, m.line); after.Disclosures != got.Disclosures {
				rt.Fatalf("after a restart %+v, before %+v", after, got)
			}
		}
	})
}

// No two tags are equal, so the ledger alone links nothing; and once a key is
// destroyed, whoever has all other keys and every line finds nothing with them.
func TestTagsAreUnlinkable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old, new := TagKeyID(690, 0), TagKeyID(692, 0)
		secrets := Secrets{old: rapid.SliceOfN(rapid.Byte(), SecretBytes, SecretBytes).Draw(rt, "old"), new: rapid.SliceOfN(rapid.Byte(), SecretBytes, SecretBytes).Draw(rt, "new")}
		lines := rapid.SliceOfNDistinct(rapid.StringMatching(`L-[0-9]{1,6}`), 1, 20, rapid.ID[string]).Draw(rt, "lines")
		var tags []Tag
		seen := map[string]bool{}
		for i := range rapid.IntRange(2, 40).Draw(rt, "tags") {
			tag := Tag{Domain: OfLine, WarrantID: id(i % 3), TaskID: id(1000 + i), KeyID: rapid.SampledFrom([]string{old, new}).Draw(rt, "key")}
			tag = tag.Seal(secrets[tag.KeyID], rapid.SampledFrom(lines).Draw(rt, "line"))
			if seen[tag.MAC] {
				rt.Fatal("two tags are equal: the ledger links them without any key")
			}
			seen[tag.MAC] = true
			tags = append(tags, tag)
		}
		for _, tag := range tags {
			found := 0
			for _, line := range lines {
				if tag.Of(secrets, line) {
					found++
				}
			}
			if found != 1 {
				rt.Fatalf("with the key a tag is of %d lines, want 1", found)
			}
		}
		delete(secrets, old)
		for _, tag := range tags {
			for _, line := range lines {
				if tag.KeyID == old && (tag.Of(secrets, line) || tag.Seal(secrets[new], line).MAC == tag.MAC) {
					rt.Fatal("a tag is found without its key")
				}
			}
		}
	})
}

// A key lives for as long as a tag under it can be matched, and never 60 days.
func TestKeyOutlivesItsTags(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "at"), 0).UTC()
		until, ok := MatchableUntil(TagKeyID(Period(at), rapid.IntRange(0, 9).Draw(rt, "n")))
		if !ok || until.Before(at.Add(Window)) || until.Sub(at) > TagPeriod+Window {
			rt.Fatalf("made at %v, destroyed at %v", at, until)
		}
	})
	for _, text := range []string{"", "oversight:tags:", "oversight:tags:x.0", "case:690.0", "690.0"} {
		if _, ok := MatchableUntil(text); ok {
			t.Errorf("%q is the name of a key", text)
		}
	}
}

// An entry of an alarm cannot be told from one of none by its length, nor by facts.
func TestSealedBodiesAreAlike(t *testing.T) {
	b := newBook(t)
	many := Link{Disclosures: 50}
	for i := range 100 {
		many.Warrants = append(many.Warrants, id(i))
	}
	for _, l := range []Link{{}, {Disclosures: 3, Warrants: []string{id(1), id(2)}}, many} {
		tag := Tag{Domain: OfLine, WarrantID: id(1), TaskID: id(2), KeyID: TagKeyID(690, 0)}.Seal(secretOf(1), "L-1")
		d := LinkageDraft(tag, l, "class")
		e := b.append(start, d)
		text := bodyOf(t, d)
		if len(text) != sealedBytes {
			t.Errorf("a body of %d bytes, want %d", len(text), sealedBytes)
		}
		if string(e.Header.Facts) != string(b.entries[0].Header.Facts) {
			t.Errorf("facts differ: %s", e.Header.Facts)
		}
	}
}
