package legalbasis

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/signedfile"
	"griffier/api/warrant"
)

var (
	start      = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	officer    = ledger.Caller{Actor: "0f", Roles: []string{RoleLegalOfficer}}
	controller = ledger.Caller{Actor: "c0", Roles: []string{RolePrivacyController}}
	both       = ledger.Caller{Actor: "bb", Roles: []string{RoleLegalOfficer, RolePrivacyController}}
	machine    = ledger.Caller{Actor: "mm", Roles: both.Roles, Machine: true}
	callers    = []ledger.Caller{officer, controller, both, machine, {Actor: "xx"}}
)

type fataler interface {
	Helper()
	Fatal(...any)
}

// house is a keeper with a log in memory, which is a book too.
type house struct {
	t       fataler
	keeper  *Keeper
	entries []ledger.Entry
	now     time.Time
}

func newHouse(t fataler) *house { return &house{t: t, keeper: NewKeeper(), now: start} }

func (h *house) append(d ledger.Draft) ledger.Entry {
	h.t.Helper()
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		h.t.Fatal(err)
	}
	e := ledger.Entry{Index: uint64(len(h.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, At: h.now, Actor: d.Actor, Role: d.Role, Generation: d.Generation, Facts: facts}}
	if err := h.keeper.Apply(e); err != nil {
		h.t.Fatal(err)
	}
	h.entries = append(h.entries, e)
	return e
}

// Decide implements book.
func (h *house) Decide(_ context.Context, _ string, fn func(time.Time) (ledger.Draft, error)) (ledger.Entry, error) {
	d, err := fn(h.now)
	if err != nil {
		return ledger.Entry{}, err
	}
	return h.append(d), nil
}

func signer(t fataler) (note.Signer, signedfile.Trusted) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "isp.example/lawyer")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := signedfile.NewTrusted([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	return s, trusted
}

// file is profile nl of a generation, changed.
func file(t fataler, generation int, change ...string) []byte {
	t.Helper()
	return profileFile(t, "nl", generation, change...)
}

func profileFile(t fataler, name string, generation int, change ...string) []byte {
	t.Helper()
	text, err := warrant.ProfileText(name)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("generation: 1"), fmt.Appendf(nil, "generation: %d", generation), 1)
	for i := 0; i+1 < len(change); i += 2 {
		if !bytes.Contains(text, []byte(change[i])) {
			t.Fatal("nothing to change: " + change[i])
		}
		text = bytes.Replace(text, []byte(change[i]), []byte(change[i+1]), 1)
	}
	return text
}

func parsed(t fataler, text []byte) *warrant.Profile {
	t.Helper()
	p, err := warrant.ParseProfile(text)
	if err != nil {
		t.Fatal(err)
	}
	p.SignedBy = "lawyer"
	return p
}

// taken is files as they are adopted.
func taken(t fataler, texts ...[]byte) (files []File) {
	for _, text := range texts {
		files = append(files, File{Profile: parsed(t, text), Signed: text})
	}
	return files
}

// nl is the nation's profile in force; there is one.
func (h *house) nl() *warrant.Profile { return h.keeper.Law().Profile("nl") }

func want(t *testing.T, what string, err *reason.Error, want reason.Reason) {
	t.Helper()
	var got reason.Reason
	if err != nil {
		got = err.Reason
	}
	if got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

func TestTwoPeopleChangeIt(t *testing.T) {
	h := newHouse(t)
	if law := h.keeper.Law(); len(law) != 0 || len(h.keeper.InForce()) != 0 {
		t.Errorf("before there is a profile: %+v", law)
	}
	first := file(t, 1)
	d, err := h.keeper.Adopt(taken(t, first))
	want(t, "adopt", err, "")
	h.append(d)
	h.append(d) // once more
	if h.keeper.Ignored() != 1 || h.keeper.Generation("nl") != 1 || h.nl().SHA256 != parsed(t, first).SHA256 {
		t.Errorf("adopted: ignored %d, generation %d", h.keeper.Ignored(), h.keeper.Generation("nl"))
	}
	_, err = h.keeper.Adopt(taken(t, first))
	want(t, "adopt another", err, reason.GenerationMismatch)

	second := file(t, 2, "review: [VOLUME]", "review: []", "[IDENTITY, ATTRIBUTION, HISTORY, TIME]", "[IDENTITY, ATTRIBUTION, HISTORY, TIME, VOLUME]")
	for what, by := range map[string]ledger.Caller{"a controller": controller, "a machine": machine, "a stranger": {Actor: "xx"}} {
		_, err := h.keeper.Propose(by, "p", parsed(t, second), second)
		want(t, what+" proposes", err, reason.PermissionDenied)
	}
	_, err = h.keeper.Propose(officer, "p", parsed(t, first), first)
	want(t, "the same generation", err, reason.GenerationMismatch)
	d, err = h.keeper.Propose(both, "p", parsed(t, second), second)
	want(t, "propose", err, "")
	h.append(d)
	if b, _ := h.nl().Basis("NL-126n"); len(b.Categories) != 4 {
		t.Error("a proposal is in force")
	}
	sum := parsed(t, second).SHA256
	_, err = h.keeper.Approve(h.now, officer, "p", sum)
	want(t, "an officer approves", err, reason.PermissionDenied)
	_, err = h.keeper.Approve(h.now, both, "p", sum)
	want(t, "whoever proposed", err, reason.SelfApproval)
	_, err = h.keeper.Approve(h.now, controller, "p", parsed(t, first).SHA256)
	want(t, "another file", err, reason.GenerationMismatch)
	_, err = h.keeper.Approve(h.now, controller, "q", sum)
	want(t, "another proposal", err, reason.NotFound)
	_, err = h.keeper.Approve(h.now.Add(ProposalAge), controller, "p", sum)
	want(t, "too late", err, reason.ProposalEnded)
	d, err = h.keeper.Approve(h.now, controller, "p", sum)
	want(t, "approve", err, "")
	h.append(d)
	if b, _ := h.nl().Basis("NL-126n"); len(b.Categories) != 5 || h.keeper.Generation("nl") != 2 {
		t.Errorf("in force: %v", b.Categories)
	}
	_, err = h.keeper.Withdraw(officer, "p", "k", "")
	want(t, "withdraw what is in force", err, reason.ProposalEnded)
	v := h.keeper.History()
	if len(v) != 2 || v[1].ProposedBy != "bb" || v[1].ApprovedBy != "c0" || v[1].File != string(second) {
		t.Errorf("history %+v", v)
	}

	// Two proposals at once: the second is overtaken.
	third, other := file(t, 3), file(t, 4)
	for id, text := range map[string][]byte{"p3": third, "p4": other} {
		d, err = h.keeper.Propose(officer, id, parsed(t, text), text)
		want(t, "propose "+id, err, "")
		h.append(d)
	}
	d, _ = h.keeper.Approve(h.now, controller, "p4", parsed(t, other).SHA256)
	late, _ := h.keeper.Approve(h.now, controller, "p3", parsed(t, third).SHA256)
	h.append(d)
	h.append(late)
	if h.keeper.Generation("nl") != 4 || h.keeper.Ignored() != 2 {
		t.Errorf("generation %d, ignored %d", h.keeper.Generation("nl"), h.keeper.Ignored())
	}
	_, err = h.keeper.Approve(h.now, controller, "p3", parsed(t, third).SHA256)
	want(t, "the overtaken", err, reason.GenerationMismatch)
	d, err = h.keeper.Withdraw(controller, "p3", "k", "overtaken")
	want(t, "withdraw", err, "")
	h.append(d)
	if p, _ := h.keeper.Proposal("p3"); p.State(h.now, 4) != Withdrawn {
		t.Errorf("state %s", p.State(h.now, 4))
	}
}

// A version that this program cannot read, or that was changed in the log's copy,
// permits nothing, and can be replaced.
func TestUnreadableVersionDenies(t *testing.T) {
	for name, spoil := range map[string]func(*fileFacts){
		"of a later program": func(f *fileFacts) { f.File += "a_new_key: true\n" },
		"of another hash":    func(f *fileFacts) { f.SHA256 = strings.Repeat("0", 64) },
	} {
		h := newHouse(t)
		text := file(t, 7)
		f := factsOf(parsed(t, text), text)
		spoil(&f)
		h.append(ledger.Draft{Kind: KindAdopt, Facts: adoptFacts{[]fileFacts{f}}})
		if p := h.nl(); len(p.Bases) != 0 || p.Name != "nl" || h.keeper.Generation("nl") != 7 {
			t.Errorf("%s: %+v", name, p)
		}
		next := file(t, 8)
		d, err := h.keeper.Propose(officer, "p", parsed(t, next), next)
		want(t, name, err, "")
		h.append(d)
		d, err = h.keeper.Approve(h.now, controller, "p", parsed(t, next).SHA256)
		want(t, name, err, "")
		h.append(d)
		if len(h.nl().Bases) == 0 {
			t.Errorf("%s: cannot be replaced", name)
		}
	}
}

// TestModel acts at random, on two profiles of which some versions have a basis of
// the same id, and appends some of it late. What is in force was proposed by one
// person and approved by another, generations of a profile only rise, there is
// never a profile eu alone, and never an id twice.
func TestModel(t *testing.T) {
	texts, profiles := map[string][][]byte{}, map[string][]*warrant.Profile{}
	for name, shared := range map[string]int{"nl": 3, "eu": 2} {
		for g := 1; g <= 5; g++ {
			id := strings.ToUpper(name) + "-1"
			if g == shared {
				id = "X-1"
			}
			text := fmt.Appendf(nil, "generation: %d\nprofile: %s\nzone: UTC\nbases:\n  - {id: %s, article: a, signed_by: [court], max_validity_days: 1, source: s, status: read}\n", g, name, id)
			texts[name], profiles[name] = append(texts[name], text), append(profiles[name], parsed(t, text))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		h, n := newHouse(rt), 0
		var late []ledger.Draft
		commit := func(d ledger.Draft, err *reason.Error) {
			if err != nil {
				return
			}
			if rapid.IntRange(0, 3).Draw(rt, "hang") == 0 {
				late = append(late, d)
				return
			}
			before := h.keeper.Ignored()
			h.append(d)
			if h.keeper.Ignored() != before {
				rt.Fatalf("just decided and ignored: %s", d.Kind)
			}
		}
		caller := rapid.SampledFrom(callers)
		pick := func() (Proposal, bool) {
			all := h.keeper.Proposals()
			if len(all) == 0 {
				return Proposal{}, false
			}
			return rapid.SampledFrom(all).Draw(rt, "proposal"), true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(*rapid.T) { h.now = h.now.Add(11 * 24 * time.Hour) },
			"adopt": func(rt *rapid.T) {
				var files []File
				for _, name := range []string{"nl", "eu"}[:rapid.IntRange(1, 2).Draw(rt, "files")] {
					files = append(files, File{Profile: profiles[name][0], Signed: texts[name][0]})
				}
				commit(h.keeper.Adopt(files))
			},
			"propose": func(rt *rapid.T) {
				name, i := rapid.SampledFrom([]string{"nl", "eu"}).Draw(rt, "profile"), rapid.IntRange(0, 4).Draw(rt, "file")
				n++
				commit(h.keeper.Propose(caller.Draw(rt, "by"), fmt.Sprint("p", n), profiles[name][i], texts[name][i]))
			},
			"approve": func(rt *rapid.T) {
				if p, ok := pick(); ok {
					commit(h.keeper.Approve(h.now, caller.Draw(rt, "by"), p.ID, p.SHA256))
				}
			},
			"withdraw": func(rt *rapid.T) {
				if p, ok := pick(); ok && rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
					commit(h.keeper.Withdraw(caller.Draw(rt, "by"), p.ID, "k", ""))
				}
			},
			"late": func(*rapid.T) {
				if len(late) > 0 {
					h.append(late[0])
					late = late[1:]
				}
			},
			"": func(rt *rapid.T) {
				last, adopted := map[string]uint64{}, 0
				for _, v := range h.keeper.History() {
					if v.Generation <= last[v.Name] {
						rt.Fatalf("%s: generation %d after %d", v.Name, v.Generation, last[v.Name])
					}
					last[v.Name] = v.Generation
					if v.ProposalID == "" {
						if adopted++; adopted > 2 {
							rt.Fatal("adopted more than once")
						}
						continue
					}
					p, ok := h.keeper.Proposal(v.ProposalID)
					if !ok || p.By == v.ApprovedBy || v.ApprovedBy == "" || p.By == "" || p.SHA256 != v.SHA256 || p.Withdrawn || v.At.Sub(p.At) >= ProposalAge {
						rt.Fatalf("version %d of %s: %+v", v.Generation, v.Name, p)
					}
				}
				law, ids := h.keeper.Law(), map[string]bool{}
				for i, p := range law {
					if i == 0 && p.Name != "nl" || i > 1 || p.Generation != last[p.Name] || h.keeper.InForce()[i].Profile != p {
						rt.Fatalf("in force: %+v", law)
					}
					for _, b := range p.Bases {
						if ids[b.ID] {
							rt.Fatalf("%s is in both", b.ID)
						}
						ids[b.ID] = true
					}
				}
				again := NewKeeper()
				for _, e := range h.entries {
					if err := again.Apply(e); err != nil {
						rt.Fatal(err)
					}
				}
				if rebuilt := again.Law(); len(rebuilt) != len(law) || again.Ignored() != h.keeper.Ignored() {
					rt.Fatal("folding the log again gives another law")
				} else {
					for i, p := range rebuilt {
						if p.Name != law[i].Name || p.SHA256 != law[i].SHA256 || p.Generation != law[i].Generation {
							rt.Fatalf("folding the log again gives another profile %s", p.Name)
						}
					}
				}
			},
		})
	})
}

func TestDesk(t *testing.T) {
	h := newHouse(t)
	key, trusted := signer(t)
	path := filepath.Join(t.TempDir(), "legal-basis.yaml")
	var logs bytes.Buffer
	desk := NewDesk([]string{path}, trusted, h.keeper, h, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(&logs, nil)))
	lay := func(text []byte) {
		t.Helper()
		signed, err := warrant.SignProfile(text, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, signed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := desk.Start(t.Context()); err == nil || !signedfile.NoFile(err) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(path, file(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no trusted key signed it") || len(h.entries) != 0 {
		t.Errorf("unsigned: %v", err)
	}
	lay(file(t, 1))
	if err := desk.Start(t.Context()); err != nil || h.keeper.Generation("nl") != 1 || len(desk.Problems()) > 0 {
		t.Errorf("the first: %v, generation %d, %q", err, h.keeper.Generation("nl"), desk.Problems())
	}
	// Another file on disk changes nothing, however well it is signed.
	lay(file(t, 2))
	if err := desk.Load(t.Context()); err != nil || h.keeper.Generation("nl") != 1 || !strings.Contains(strings.Join(desk.Problems(), " "), "generation 2") || !strings.Contains(logs.String(), "generation 2") {
		t.Errorf("another: %v, generation %d, %q", err, h.keeper.Generation("nl"), desk.Problems())
	}
	// Neither does a bad one, and it is told by its line.
	if err := os.WriteFile(path, bytes.Replace(file(t, 3), []byte("zone:"), []byte("zones:"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Load(t.Context()); err == nil || !strings.Contains(err.Error(), path+":9:1: ") {
		t.Errorf("a bad one: %v", err)
	}
	if err := desk.Start(t.Context()); err != nil || h.keeper.Generation("nl") != 1 || len(desk.Problems()) == 0 {
		t.Errorf("start with a bad one: %v, generation %d, %q", err, h.keeper.Generation("nl"), desk.Problems())
	}
	// Once it is what two people put in force, there is no problem left.
	lay(file(t, 2))
	p := parsed(t, file(t, 2))
	d, _ := h.keeper.Propose(officer, "p", p, file(t, 2))
	h.append(d)
	d, _ = h.keeper.Approve(h.now, controller, "p", p.SHA256)
	h.append(d)
	if len(desk.Problems()) > 0 {
		t.Errorf("problem %q", desk.Problems())
	}
}

func TestCompare(t *testing.T) {
	before := parsed(t, file(t, 1))
	if c := Compare(before, parsed(t, file(t, 2))); len(c) != 0 {
		t.Errorf("the same: %v", c)
	}
	after := parsed(t, file(t, 2, "only_registered_authorities: true", "only_registered_authorities: false",
		"[IDENTITY, ATTRIBUTION, HISTORY, TIME]", "[IDENTITY, ATTRIBUTION, VOLUME]", "review: [VOLUME]", "review: []", "max_validity_days: 92", "max_validity_days: 31"))
	var got []string
	for _, c := range Compare(before, after) {
		got = append(got, fmt.Sprintf("%s %s %s: %s -> %s", c.Basis, c.Effect, c.What, c.Now, c.New))
	}
	expect := []string{" changes only_registered_authorities: true -> false", "NL-126na changes max_validity_days: 92 -> 31",
		"NL-126n ends HISTORY: permitted -> denied", "NL-126n ends TIME: permitted -> denied", "NL-126n permits VOLUME: denied -> permitted",
		"NL-126n changes review: VOLUME -> "}
	if strings.Join(got, "\n") != strings.Join(expect, "\n") {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(expect, "\n"))
	}
	// What is disabled permits nothing, whatever it lists; a basis comes and goes.
	var off, none warrant.Profile
	off, none = *before, *before
	off.Bases, none.Bases = append([]warrant.Basis{}, before.Bases...), before.Bases[1:]
	off.Bases[0].Disabled = true
	ends := 0
	for _, after := range []*warrant.Profile{&off, &none} {
		for _, c := range Compare(before, after) {
			if c.Effect == Ends && c.Basis == "NL-126na" {
				ends++
			}
		}
	}
	if ends != 4 {
		t.Errorf("%d categories end, want 2 and 2", ends)
	}
}

// FuzzApply: an entry of any form folds, is ignored or fails, and never panics; one
// alone puts nothing in the place of a profile that is in force.
func FuzzApply(f *testing.F) {
	kinds := []string{KindAdopt, KindPropose, KindApprove, KindWithdraw}
	text := []byte("generation: 1\nprofile: nl\nzone: UTC\nbases:\n  - {id: X-1, article: a, signed_by: [court], max_validity_days: 1, source: s, status: read}\n")
	for i := range kinds {
		f.Add(i, "0f", `{"proposal_id":"p","base_generation":1,"profile":"nl","profile_generation":2,"sha256":"a","file":"generation: 2"}`)
	}
	f.Fuzz(func(t *testing.T, kind int, actor, facts string) {
		h := newHouse(t)
		h.append(ledger.Draft{Kind: KindAdopt, Facts: adoptFacts{[]fileFacts{factsOf(parsed(t, text), text)}}})
		was := h.nl().SHA256
		h.keeper.Apply(ledger.Entry{Index: 1, Header: ledger.Header{Kind: kinds[uint(kind)%uint(len(kinds))], At: start, Actor: actor, Facts: json.RawMessage(facts)}})
		if law := h.keeper.Law(); len(law) != 1 || law[0].SHA256 != was {
			t.Errorf("one entry changed the profile")
		}
	})
}
