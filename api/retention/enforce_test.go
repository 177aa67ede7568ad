package retention

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/schema"
)

func TestEnforce(t *testing.T) {
	h := newHouse(t)
	enforce := func(period string, entries int) error {
		t.Helper()
		err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, period))
		if n := len(h.facts(t, KindPolicy)); n != entries {
			t.Errorf("%s: %d policy entries, want %d", period, n, entries)
		}
		return err
	}
	h.put(t, used(1, time.Now().UTC().Add(-10*24*time.Hour).Truncate(schema.BucketLength)), used(2, time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)))
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable without a policy, want none", n)
	}
	if err := enforce("P14D", 1); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 2 {
		t.Errorf("%d rows are readable, want both", n)
	}
	var f policyFacts
	if err := json.Unmarshal(h.facts(t, KindPolicy)[0], &f); err != nil || f.Periods["usage_5m"] != "P14D" || f.SHA256 != file(t, "P14D").SHA256 {
		t.Errorf("facts %+v, %v: want the periods and the file's hash", f, err)
	}
	if err := enforce("P14D", 1); err != nil {
		t.Errorf("the same again: %v", err)
	}
	// After a restart it is still the same.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	if err := enforce("P14D", 1); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	// Shortening applies to the next query.
	if err := enforce("P7D", 2); err != nil {
		t.Errorf("shortened: %v", err)
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable after shortening, want one", n)
	}
	// Lengthening is refused and changes nothing.
	var refused *LengthenError
	if err := enforce("P8D", 2); !errors.As(err, &refused) || !reflect.DeepEqual(refused.Classes, []schema.Class{schema.ClassUsage5m}) ||
		!strings.Contains(err.Error(), "two people") {
		t.Errorf("lengthened: %v, want a LengthenError for usage_5m", err)
	}
	policies, err := schema.ReadPolicy(t.Context(), h.conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if p.Class == schema.ClassUsage5m && p.Period != "P7D" {
			t.Errorf("in force is %s, want P7D", p.Period)
		}
	}
	// Without a ledger nothing is put in force.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P1D")); err == nil {
		t.Error("enforced without a ledger")
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable, want one as before", n)
	}
	h.open(t)
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
