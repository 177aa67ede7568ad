package oversight

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPlanStaff: a plan, carried out on the list that it was made of, gives the list that
// was wanted; its counts are right, and its name is of nothing else.
func TestPlanStaff(t *testing.T) {
	row := rapid.Custom(func(t *rapid.T) StaffRow {
		return StaffRow{Tag: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "tag"), Staff: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "staff")}
	})
	set := func(rows []StaffRow) map[StaffRow]bool {
		out := map[StaffRow]bool{}
		for _, r := range rows {
			out[r] = true
		}
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		present, wanted := rapid.SliceOf(row).Draw(t, "present"), rapid.SliceOf(row).Draw(t, "wanted")
		p := PlanStaff(present, wanted)
		list := set(present)
		for _, r := range p.Remove {
			if !list[r] {
				t.Fatalf("%v is taken off, and is not on the list", r)
			}
			delete(list, r)
		}
		for _, r := range p.Put {
			if list[r] {
				t.Fatalf("%v is put on the list, and is there", r)
			}
			list[r] = true
		}
		want := set(wanted)
		if len(list) != len(want) {
			t.Fatalf("the list has %d rows, want %d", len(list), len(want))
		}
		var added, removed, kept uint64
		for _, c := range p.Changes {
			added, removed, kept = added+c.Added, removed+c.Removed, kept+c.Kept
		}
		if int(added) != len(p.Put) || int(removed) != len(p.Remove) || int(kept+added) != len(want) {
			t.Fatalf("counts %d %d %d of %+v", added, removed, kept, p)
		}
		again := slices.Clone(wanted)
		slices.Reverse(again)
		if PlanStaff(present, again).ID != p.ID {
			t.Fatal("the order of a file's rows makes another plan")
		}
		if other := append(slices.Clone(wanted), StaffRow{"e", "9"}); PlanStaff(present, other).ID == p.ID || PlanStaff(other, wanted).ID == p.ID {
			t.Fatal("another file, or another list, is the same plan")
		}
	})
}
