package disclosure_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Under every set of categories, a package has the columns of that set and
// nothing of any other: neither a name of a column nor a value.
func TestColumnMinimisation(t *testing.T) {
	signer, err := disclosure.NewSigner(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		covered := rapid.SliceOfDistinct(rapid.SampledFrom(warrant.Categories), rapid.ID).Draw(rt, "warrant covers")
		task := rapid.SampledFrom(warrant.Categories).Draw(rt, "task")
		has := map[warrant.Category]bool{}
		for _, c := range covered {
			has[c] = true
		}
		columns := disclosure.ColumnsFor(task, covered)
		if !has[task] && columns != nil {
			rt.Fatalf("a category that the warrant lacks has columns %v", columns)
		}
		for _, c := range columns {
			if !has[c.Category] {
				rt.Fatalf("column %s of %s without that category", c.Name, c.Category)
			}
		}
		if disclosure.NeedsIdentity(columns) != (has[task] && has[warrant.Identity] && (task == warrant.Identity || task == warrant.Attribution)) {
			rt.Fatalf("identity is needed: %v, under %v for %s", disclosure.NeedsIdentity(columns), covered, task)
		}
		if task != warrant.Attribution || !has[task] {
			return
		}
		w := evidence(reason.Match)
		p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon}, 0)
		plain, err := disclosure.Tar(signer, disclosure.Case{TaskID: "t", Zone: time.UTC}, p, w, disclosure.Judge(p, w), columns, alice)
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range disclosure.Columns {
			if c.Category != warrant.Attribution && !has[c.Category] && strings.Contains(string(plain), c.Name) {
				rt.Fatalf("the package mentions column %s", c.Name)
			}
		}
		for _, value := range []string{"Jansen", "Voorhout", "2514", "Den Haag"} {
			if strings.Contains(string(plain), value) != has[warrant.Identity] {
				rt.Fatalf("the package mentions %q: %v, identity covered: %v", value, !has[warrant.Identity], has[warrant.Identity])
			}
		}
		// Connection times of the holder belong to another category altogether.
		for _, m := range []string{w.Assignments[0].StartedAt.Format(time.RFC3339), w.Assignments[0].EndedAt.Format(time.RFC3339)} {
			if strings.Contains(string(plain), m) {
				rt.Fatalf("the package tells when the line began or ceased to hold the address: %s", m)
			}
		}
	})
}

// The retained row has more than the columns show, and none of it gets through.
func TestRecordsHoldOnlyColumns(t *testing.T) {
	s := newSample(t, reason.Match)
	var object map[string]string
	if err := json.Unmarshal([]byte(untar(t, s.plain)["records.jsonl"]), &object); err != nil {
		t.Fatal(err)
	}
	if len(object) != len(disclosure.Columns) {
		t.Errorf("%d keys, want %d", len(object), len(disclosure.Columns))
	}
	for _, c := range disclosure.Columns {
		if object[c.Name] == "" {
			t.Errorf("column %s is empty", c.Name)
		}
	}
}
