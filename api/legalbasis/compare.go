package legalbasis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"griffier/api/warrant"
)

// Effect is what a change does.
type Effect string

// Effects.
const (
	Permits Effect = "permits" // what is denied now
	Ends    Effect = "ends"    // what is permitted now
	Changes Effect = "changes" // a condition or a word
)

// Change is one thing that a profile changes over another.
type Change struct {
	Basis    string // empty: the profile as a whole
	Effect   Effect
	What     string // a category, or the name of a field
	Now, New string
}

// permitted lists the categories that a basis really permits.
func permitted(b warrant.Basis) []warrant.Category {
	if b.Disabled || !b.Compels {
		return nil
	}
	return b.Categories
}

// Compare tells what after changes over before, which is nil of an addition: first
// what it permits and ends, basis by basis, then conditions and words.
func Compare(before, after *warrant.Profile) []Change {
	if before == nil {
		before = denial("", "")
	}
	var out []Change
	for _, f := range [][3]string{
		{"profile", before.Name, after.Name}, {"zone", before.Zone, after.Zone},
		{"only_registered_authorities", strconv.FormatBool(before.OnlyRegistered), strconv.FormatBool(after.OnlyRegistered)},
	} {
		if f[1] != f[2] {
			out = append(out, Change{"", Changes, f[0], f[1], f[2]})
		}
	}
	var ids []string
	for _, b := range slices.Concat(before.Bases, after.Bases) {
		if !slices.Contains(ids, b.ID) {
			ids = append(ids, b.ID)
		}
	}
	for _, id := range ids {
		was, had := before.Basis(id)
		is, has := after.Basis(id)
		for _, c := range warrant.Categories {
			switch could, can := slices.Contains(permitted(was), c), slices.Contains(permitted(is), c); {
			case can && !could:
				out = append(out, Change{id, Permits, string(c), "denied", "permitted"})
			case could && !can:
				out = append(out, Change{id, Ends, string(c), "permitted", "denied"})
			}
		}
		switch {
		case !had:
			out = append(out, Change{id, Changes, "basis", "", "new"})
		case !has:
			out = append(out, Change{id, Changes, "basis", "", "gone"})
		default:
			old, now := fields(was), fields(is)
			for i := range old {
				if old[i][1] != now[i][1] {
					out = append(out, Change{id, Changes, old[i][0], old[i][1], now[i][1]})
				}
			}
		}
	}
	return out
}

// fields are a basis in words, but for its categories.
func fields(b warrant.Basis) [][2]string {
	var deadlines []string
	for _, d := range b.Deadlines {
		deadlines = append(deadlines, fmt.Sprintf("%s %v", d.Priority, d.Within))
	}
	var review []string
	for _, c := range b.Review {
		review = append(review, string(c))
	}
	return [][2]string{
		{"article", b.Article}, {"signed_by", strings.Join(b.SignedBy, " ")}, {"countries", strings.Join(b.Countries, " ")},
		{"review", strings.Join(review, " ")}, {"needs_magistrate", strconv.FormatBool(b.NeedsMagistrate)},
		{"future_months", strconv.Itoa(b.FutureMonths)}, {"oral_ok", strconv.FormatBool(b.OralOK)}, {"paper_days", strconv.Itoa(b.PaperDays)},
		{"notifies_enforcing_authority", strconv.FormatBool(b.NotifiesAuthority)}, {"max_validity_days", strconv.Itoa(b.MaxValidityDays)},
		{"hold_days", strconv.Itoa(b.HoldDays)}, {"extension_days", strconv.Itoa(b.ExtensionDays)},
		{"non_execution_hold_days", strconv.Itoa(b.NonExecutionHoldDays)}, {"deadlines", strings.Join(deadlines, ", ")},
		{"compels", strconv.FormatBool(b.Compels)}, {"disabled", strconv.FormatBool(b.Disabled)}, {"source", b.Source}, {"status", b.Status}, {"note", b.Note},
	}
}
