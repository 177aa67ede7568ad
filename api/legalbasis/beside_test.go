package legalbasis

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// A nation's profile and the Union's are in force together, and one is changed
// without touching the other.
func TestTwoProfiles(t *testing.T) {
	h := newHouse(t)
	nl, eu := file(t, 1), profileFile(t, "eu", 1)
	d, err := h.keeper.Adopt(taken(t, nl, eu))
	want(t, "adopt", err, "")
	h.append(d)
	if len(h.entries) != 1 || len(h.keeper.InForce()) != 2 {
		t.Fatalf("%d entries, in force %+v", len(h.entries), h.keeper.InForce())
	}
	for id, profile := range map[string]string{"NL-126n": "nl", "EPOC-PR": "eu"} {
		if p := h.keeper.Law().Of(id); p == nil || p.Name != profile {
			t.Errorf("%s is of %v", id, p)
		}
	}

	propose := func(id string, text []byte) {
		t.Helper()
		d, err := h.keeper.Propose(officer, id, parsed(t, text), text)
		want(t, "propose "+id, err, "")
		h.append(d)
	}
	approve := func(id string, text []byte) {
		t.Helper()
		d, err := h.keeper.Approve(h.now, controller, id, parsed(t, text).SHA256)
		want(t, "approve "+id, err, "")
		h.append(d)
	}
	// The two have generations of their own: 7 is above 1 in either.
	nl7, eu3 := file(t, 7, "max_validity_days: 92", "max_validity_days: 31"), profileFile(t, "eu", 3, "    extension_days: 30\n", "")
	propose("n", nl7)
	propose("u", eu3)
	approve("u", eu3)
	if g := h.keeper.Generation("nl"); g != 1 || h.keeper.Generation("eu") != 3 || h.nl().SHA256 != parsed(t, nl).SHA256 {
		t.Errorf("generations nl %d, eu %d", g, h.keeper.Generation("eu"))
	}
	if p, _ := h.keeper.Proposal("n"); p.State(h.now, h.keeper.Generation(p.Name)) != AwaitingApproval {
		t.Error("a change of the one overtakes a proposal of the other")
	}
	approve("n", nl7)
	law := h.keeper.Law()
	if len(law) != 2 || law[0].Generation != 7 || law[1].Generation != 3 {
		t.Errorf("in force: %+v", law)
	}
	if b, _ := law.Basis("EPOC-PR"); b.ExtensionDays != 0 || b.HoldDays != 60 {
		t.Errorf("EPOC-PR: %+v", b)
	}

	again := NewKeeper()
	for _, e := range h.entries {
		if err := again.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range again.Law() {
		if p.SHA256 != law[i].SHA256 || p.Generation != law[i].Generation || len(again.Law()) != 2 {
			t.Errorf("rebuilt: %+v", p)
		}
	}
}

// The Union's profile comes to a nation's that is in force as an addition, which
// takes two people, and a nation's cannot come to another's.
func TestAddition(t *testing.T) {
	h := newHouse(t)
	nl, eu := file(t, 5), profileFile(t, "eu", 1)
	_, err := h.keeper.Adopt(taken(t, eu))
	want(t, "the Union alone", err, reason.PolicyRefused)
	_, err = h.keeper.Adopt(taken(t, nl, nl))
	want(t, "a nation twice", err, reason.PolicyRefused)
	d, err := h.keeper.Adopt(taken(t, nl))
	want(t, "adopt", err, "")
	h.append(d)
	_, err = h.keeper.Adopt(taken(t, nl, eu))
	want(t, "adopt the other too", err, reason.GenerationMismatch)
	be := profileFile(t, "be", 9)
	_, err = h.keeper.Propose(officer, "b", parsed(t, be), be)
	want(t, "another nation", err, reason.PolicyRefused)
	d, err = h.keeper.Propose(officer, "u", parsed(t, eu), eu)
	want(t, "propose", err, "")
	h.append(d)
	if p, _ := h.keeper.Proposal("u"); p.BaseGeneration != 0 || len(h.keeper.Law()) != 1 {
		t.Errorf("proposal %+v", p)
	}
	d, err = h.keeper.Approve(h.now, controller, "u", parsed(t, eu).SHA256)
	want(t, "approve", err, "")
	h.append(d)
	if len(h.keeper.Law()) != 2 || h.keeper.Generation("eu") != 1 || h.keeper.Generation("nl") != 5 {
		t.Errorf("in force: %+v", h.keeper.Law())
	}
}

// An id that the other profile has is refused with its line, when it is proposed,
// and again when it is approved, if the other profile got it meanwhile.
func TestCollidingID(t *testing.T) {
	h := newHouse(t)
	d, err := h.keeper.Adopt(taken(t, file(t, 1), profileFile(t, "eu", 1)))
	want(t, "adopt", err, "")
	h.append(d)
	collides := file(t, 2, "id: NL-126na\n", "id: EPOC-PR\n")
	_, err = h.keeper.Propose(officer, "n", parsed(t, collides), collides)
	want(t, "an id of the other's", err, reason.PolicyRefused)
	if v := err.Violations; len(v) != 1 || v[0].Field != "file:12:9" || !strings.HasPrefix(v[0].Description, `basis "EPOC-PR" is in profile eu already, in line `) {
		t.Errorf("violations %+v", v)
	}

	// Both get the same new id; whichever is approved second is refused.
	n, u := file(t, 2, "id: NL-126na\n", "id: NEW-1\n"), profileFile(t, "eu", 2, "id: EPOC-PR\n", "id: New-1\n")
	for id, text := range map[string][]byte{"n": n, "u": u} {
		d, err := h.keeper.Propose(officer, id, parsed(t, text), text)
		want(t, "propose "+id, err, "")
		h.append(d)
	}
	first, err := h.keeper.Approve(h.now, controller, "n", parsed(t, n).SHA256)
	want(t, "approve", err, "")
	second, err := h.keeper.Approve(h.now, controller, "u", parsed(t, u).SHA256)
	want(t, "approve, before the other is in the ledger", err, "")
	h.append(first)
	h.append(second)
	if h.keeper.Ignored() != 1 || h.keeper.Generation("nl") != 2 || h.keeper.Generation("eu") != 1 {
		t.Errorf("ignored %d, nl %d, eu %d", h.keeper.Ignored(), h.keeper.Generation("nl"), h.keeper.Generation("eu"))
	}
	_, err = h.keeper.Approve(h.now, controller, "u", parsed(t, u).SHA256)
	want(t, "approve, after it", err, reason.PolicyRefused)
}

// The files of a first start are in force together or not at all, whichever is
// named first.
func TestDeskOfTwo(t *testing.T) {
	h := newHouse(t)
	key, trusted := signer(t)
	dir := t.TempDir()
	nl, eu := filepath.Join(dir, "nl.yaml"), filepath.Join(dir, "eu.yaml")
	lay := func(path string, text []byte) {
		t.Helper()
		signed, err := warrant.SignProfile(text, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, signed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	desk := func(paths ...string) (*Desk, *prometheus.Registry) {
		registry := prometheus.NewRegistry()
		return NewDesk(paths, trusted, h.keeper, h, registry, slog.New(slog.DiscardHandler)), registry
	}
	lay(nl, file(t, 4))
	both, metrics := desk(eu, nl)
	lay(eu, profileFile(t, "eu", 2, "id: EPOC-PR\n", "id: NL-126ni\n"))
	if err := both.Start(t.Context()); err == nil || !strings.Contains(err.Error(), `eu.yaml:`) || !strings.Contains(err.Error(), `basis "NL-126ni" is in profile nl already`) || len(h.entries) != 0 {
		t.Errorf("an id of the other's: %v", err)
	}
	alone, _ := desk(eu)
	lay(eu, profileFile(t, "eu", 2))
	if err := alone.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "an addition to a nation's profile") || len(h.entries) != 0 {
		t.Errorf("the Union alone: %v", err)
	}
	if err := both.Start(t.Context()); err != nil || len(h.entries) != 1 || len(both.Problems()) != 0 {
		t.Fatalf("both: %v, %v", err, both.Problems())
	}
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(`# HELP griffier_legal_basis_file_differs 1 while a profile file on disk is refused, or the files are not the profiles in force.
# TYPE griffier_legal_basis_file_differs gauge
griffier_legal_basis_file_differs 0
# HELP griffier_legal_basis_generation Generation of a legal-basis profile in force.
# TYPE griffier_legal_basis_generation gauge
griffier_legal_basis_generation{profile="eu"} 2
griffier_legal_basis_generation{profile="nl"} 4
`)); err != nil {
		t.Error(err)
	}
	// A profile in force without a file, and a file of another, are told.
	if p := alone.Problems(); len(p) != 1 || !strings.Contains(p[0], "profile nl is in force, and no file") {
		t.Errorf("without a file: %v", p)
	}
	lay(nl, profileFile(t, "be", 1))
	if p := strings.Join(both.Problems(), "\n"); !strings.Contains(p, "nl.yaml: profile be is not in force") || !strings.Contains(p, "profile nl is in force, and no file") {
		t.Errorf("another nation's file: %s", p)
	}
}
