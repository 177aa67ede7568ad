package retention

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/api/clock"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/signedfile"
	"griffier/schema"
)

func TestEnforce(t *testing.T) {
	h := newHouse(t)
	enforce := func(generation uint64, period string, entries int) error {
		t.Helper()
		err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, generation, period))
		if n := len(h.facts(t, KindPolicy)); n != entries {
			t.Errorf("%s: %d policy entries, want %d", period, n, entries)
		}
		return err
	}
	inForce := func(want string) {
		t.Helper()
		policies, err := schema.ReadPolicy(t.Context(), h.conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range policies {
			if p.Class == schema.ClassUsage5m && p.Period != want {
				t.Errorf("in force is %s, want %s", p.Period, want)
			}
		}
		if f, ok := h.keeper.InForce(); !ok {
			t.Error("the ledger knows of no policy")
		} else if r, _ := f.Rule(schema.ClassUsage5m); r.Period != want {
			t.Errorf("the ledger has %s in force, want %s", r.Period, want)
		}
	}
	h.put(t, used(1, time.Now().UTC().Add(-10*24*time.Hour).Truncate(schema.BucketLength)), used(2, time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)))
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable without a policy, want none", n)
	}
	if err := enforce(1, "P14D", 1); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 2 {
		t.Errorf("%d rows are readable, want both", n)
	}
	var f policyFacts
	if err := json.Unmarshal(h.facts(t, KindPolicy)[0], &f); err != nil || !reflect.DeepEqual(f.file(), file(t, 1, "P14D")) {
		t.Errorf("facts %+v, %v: want the policy as it was read", f, err)
	}
	if err := enforce(1, "P14D", 1); err != nil {
		t.Errorf("the same again: %v", err)
	}
	// After a restart it is still the same.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	if err := enforce(1, "P14D", 1); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	// Shortening applies to the next query.
	if err := enforce(2, "P7D", 2); err != nil {
		t.Errorf("shortened: %v", err)
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable after shortening, want one", n)
	}
	// Lengthening is refused and changes nothing.
	var refused *LengthenError
	if err := enforce(3, "P8D", 2); !errors.As(err, &refused) || !reflect.DeepEqual(refused.Classes, []schema.Class{schema.ClassUsage5m}) ||
		!strings.Contains(err.Error(), "two people") {
		t.Errorf("lengthened: %v, want a LengthenError for usage_5m", err)
	}
	inForce("P7D")
	// So is a file that is not newer, also one that was in force and one that shortens.
	for _, old := range []struct {
		generation uint64
		period     string
	}{{1, "P14D"}, {2, "P6D"}, {1, "P1D"}} {
		var older *OlderError
		if err := enforce(old.generation, old.period, 2); !errors.As(err, &older) {
			t.Errorf("generation %d again, with %s: %v, want an OlderError", old.generation, old.period, err)
		}
	}
	inForce("P7D")
	// Without a ledger nothing is put in force.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, 3, "P1D")); err == nil {
		t.Error("enforced without a ledger")
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable, want one as before", n)
	}
	h.open(t)
	inForce("P7D")
}

// TestAClockThatLeaptBringsNothingIntoForce: what expires by it would stay expired.
func TestAClockThatLeaptBringsNothingIntoForce(t *testing.T) {
	h := newHouse(t)
	k, changed := h.keeper, 0
	k.Clock = clock.NewLeap(time.Now(), func() (clock.Reading, error) { return clock.Reading{}, nil })
	k.Changed = func() { changed++ }
	enforce := func(what string, f File, trusted bool, changes, entries int) {
		t.Helper()
		err := k.Enforce(t.Context(), h.conn, h.book, f)
		if trusted && err != nil || !trusted && (reason.Of(err) != reason.ClockUntrusted || !strings.Contains(err.Error(), "-accept-clock")) {
			t.Errorf("%s: %v; the clock is to be believed: %t", what, err, trusted)
		}
		if n := len(h.facts(t, KindPolicy)); n != entries || changed != changes {
			t.Errorf("%s: %d policy entries and %d changes told, want %d and %d", what, n, changed, entries, changes)
		}
	}
	h.put(t, used(1, time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)))
	enforce("the first", file(t, 1, "P14D"), true, 1, 1)
	k.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	enforce("leapt", file(t, 2, "P7D"), false, 1, 1)
	enforce("leapt, the same file", file(t, 1, "P14D"), true, 1, 1)
	if n := h.count(t, "traffic.usage"); n != 1 || k.Generation() != 1 {
		t.Errorf("%d rows are readable under generation %d, want the row under 1", n, k.Generation())
	}
	// A table that lost the policy gets it back when the clock is right again.
	if err := schema.WritePolicy(t.Context(), h.conn, "nl", nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Restore(t.Context(), h.conn, h.book, anyone); reason.Of(err) != reason.ClockUntrusted {
		t.Errorf("restored while it leapt: %v", err)
	}
	k.Now = nil
	if err := k.Restore(t.Context(), h.conn, h.book, anyone); err != nil || changed != 2 {
		t.Errorf("restored: %v, %d changes told, want 2", err, changed)
	}
	enforce("set right", file(t, 2, "P7D"), true, 3, 2)
	// The clock of the store counts too.
	if err := schema.RaiseClockFloor(t.Context(), h.conn, time.Now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	enforce("the store's leapt", file(t, 3, "P6D"), false, 3, 2)
}

// anyone trusts whoever signed.
func anyone(string) bool { return true }

// TestRestore: a store from a backup holds the policy of long ago; what the
// ledger has in force is put back, and what had expired stays so.
func TestRestore(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, 1, "P7D")); err != nil {
		t.Fatal(err)
	}
	h.put(t, used(1, time.Now().UTC().Add(-10*24*time.Hour).Truncate(schema.BucketLength)))
	if err := schema.WritePolicy(t.Context(), h.conn, "nl", file(t, 1, "P30D").Policies()); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable that had expired before the table was lengthened, want none", n)
	}
	if err := h.keeper.Restore(t.Context(), h.conn, h.book, anyone); err != nil {
		t.Fatal(err)
	}
	policies, err := schema.ReadPolicy(t.Context(), h.conn)
	if err != nil || !reflect.DeepEqual(policies, file(t, 1, "P7D").Policies()) {
		t.Errorf("after a restore: %+v, %v; want what the ledger has in force", policies, err)
	}
	if n := len(h.facts(t, KindPolicy)); n != 1 {
		t.Errorf("%d policy entries, want the one", n)
	}
}

// TestAnApprovedFileIsTakenFromDisk: the file that was approved comes into force
// from the disk too, while its approval counts, and not after.
func TestAnApprovedFileIsTakenFromDisk(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, 1, "P14D")); err != nil {
		t.Fatal(err)
	}
	if err := h.cfg.Keys.Ensure("class:retention:2026-11"); err != nil {
		t.Fatal(err)
	}
	longer := file(t, 2, "P20D")
	do := func(d ledger.Draft, refusal *reason.Error) {
		t.Helper()
		if refusal != nil {
			t.Fatal(refusal)
		}
		if _, err := h.book.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	k, key := h.keeper, "class:retention:2026-11"
	do(k.Propose(ledger.Caller{Actor: "0a", Roles: []string{RoleOperator}}, "p", key, longer, []byte("text")))
	do(k.Advise(time.Now(), ledger.Caller{Actor: "0b", Roles: []string{RoleOverseer}}, "p", key, longer.SHA256, InFavour, "text"))
	do(k.Approve(time.Now(), ledger.Caller{Actor: "0c", Roles: []string{RolePrivacyController}}, "p", longer.SHA256, 2))
	k.Now = func() time.Time { return time.Now().Add(ApprovalAge) }
	var refused *LengthenError
	if err := k.Enforce(t.Context(), h.conn, h.book, longer); !errors.As(err, &refused) {
		t.Errorf("a day after the approval: %v, want a LengthenError", err)
	}
	if err := k.Restore(t.Context(), h.conn, h.book, anyone); err != nil || k.Generation() != 1 {
		t.Errorf("restored a day after: %v, generation %d in force, want 1", err, k.Generation())
	}
	k.Now = nil
	if err := k.Restore(t.Context(), h.conn, h.book, signedfile.Trusted{}.Has); err != nil || k.Generation() != 1 {
		t.Errorf("restored when nobody is trusted: %v, generation %d in force, want 1", err, k.Generation())
	}
	if err := k.Enforce(t.Context(), h.conn, h.book, file(t, 2, "P21D")); !errors.As(err, &refused) {
		t.Errorf("another file: %v, want a LengthenError", err)
	}
	if err := k.Enforce(t.Context(), h.conn, h.book, longer); err != nil || k.Generation() != 2 {
		t.Errorf("the approved file: %v, generation %d in force, want 2", err, k.Generation())
	}
	if f, _ := k.InForce(); f.ProposalID != "p" {
		t.Errorf("in force by proposal %q, want p", f.ProposalID)
	}
}

// TestApplyOfADamagedEntry stops the ledger rather than guess.
func TestApplyOfADamagedEntry(t *testing.T) {
	k := &Keeper{}
	if err := k.Apply(ledger.Entry{Header: ledger.Header{Kind: KindPolicy, Facts: json.RawMessage(`{"sha256":5}`)}}); err == nil {
		t.Error("applied")
	}
	if err := k.Apply(ledger.Entry{Header: ledger.Header{Kind: "other", Facts: json.RawMessage(`5`)}}); err != nil {
		t.Errorf("another kind: %v", err)
	}
}
