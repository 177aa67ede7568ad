package oversight

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindStaffImported is the entry that the whole list of staff's lines was replaced.
const KindStaffImported = "oversight.staff_imported"

// MaxStaffLines is how many lines a list has at most.
const MaxStaffLines = 5000

// DefaultStaffListDays is after how many days somebody should look whether the list of
// staff's lines is still true.
const DefaultStaffListDays = 92

var accountForm = regexp.MustCompile(`^[A-Za-z0-9@._+|:-]{1,128}$`)

// StaffAccount is a row of a file: whom the identity provider knows by an account (the
// token's sub), or the ledger by a pseudonym, and a line of theirs.
type StaffAccount struct{ Account, LineID string }

// Pseudonym returns whose row it is; made makes a pseudonym of an account.
func (a StaffAccount) Pseudonym(made func(account string) string) string {
	if actorForm.MatchString(a.Account) {
		return a.Account
	}
	return made(a.Account)
}

// CheckStaff refuses a list that is empty, too long, has a row that is none, or one
// twice. Rows are named by number and never repeated: they say where somebody lives.
func CheckStaff(rows []StaffAccount) *reason.Error {
	switch {
	case len(rows) == 0:
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "lines", Description: "is empty: a list without anybody would let everything be looked up; remove lines one by one"})
	case len(rows) > MaxStaffLines:
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "lines", Description: fmt.Sprintf("has more than %d rows", MaxStaffLines)})
	}
	var bad []reason.Violation
	seen := map[StaffAccount]int{}
	for i, row := range rows {
		field := fmt.Sprintf("lines[%d]", i)
		switch first, twice := seen[row]; {
		case !accountForm.MatchString(row.Account):
			bad = append(bad, reason.Violation{Field: field, Description: "account must be 1 to 128 of A-Z a-z 0-9 @ . _ + | : -"})
		case !lineForm.MatchString(row.LineID):
			bad = append(bad, reason.Violation{Field: field, Description: "line must be 1 to 64 of A-Z a-z 0-9 . _ -"})
		case twice:
			bad = append(bad, reason.Violation{Field: field, Description: fmt.Sprintf("is the same as lines[%d]", first)})
		}
		seen[row] = i
		if len(bad) == 20 {
			break
		}
	}
	if len(bad) > 0 {
		return reason.Invalid(reason.InvalidRequest, bad...)
	}
	return nil
}

// StaffRow is a row as the list has it: no line, but its keyed hash.
type StaffRow struct{ Tag, Staff string }

// StaffChange counts what an import does to one employee's lines.
type StaffChange struct {
	Staff                string
	Added, Removed, Kept uint64
}

// StaffPlan is what an import does. ID stands for exactly that, and for the list that it
// was worked out on: another list since, or another file, is another plan.
type StaffPlan struct {
	ID          string
	Put, Remove []StaffRow
	Changes     []StaffChange // by pseudonym
}

// PlanStaff compares the list with what it should be.
func PlanStaff(present, wanted []StaffRow) StaffPlan {
	order := func(a, b StaffRow) int { return cmp.Or(cmp.Compare(a.Staff, b.Staff), cmp.Compare(a.Tag, b.Tag)) }
	present, wanted = slices.Clone(present), slices.Clone(wanted)
	slices.SortFunc(present, order)
	slices.SortFunc(wanted, order)
	present, wanted = slices.Compact(present), slices.Compact(wanted)
	mac := sha256.New()
	for _, rows := range [][]StaffRow{present, wanted} {
		fmt.Fprintf(mac, "%d\n", len(rows))
		for _, row := range rows {
			fmt.Fprintf(mac, "%s %s\n", row.Staff, row.Tag)
		}
	}
	p := StaffPlan{ID: hex.EncodeToString(mac.Sum(nil))}
	changes := map[string]*StaffChange{}
	of := func(staff string) *StaffChange {
		if changes[staff] == nil {
			changes[staff] = &StaffChange{Staff: staff}
		}
		return changes[staff]
	}
	is, want := map[StaffRow]bool{}, map[StaffRow]bool{}
	for _, row := range present {
		is[row] = true
	}
	for _, row := range wanted {
		want[row] = true
		if is[row] {
			of(row.Staff).Kept++
			continue
		}
		p.Put = append(p.Put, row)
		of(row.Staff).Added++
	}
	for _, row := range present {
		if !want[row] {
			p.Remove = append(p.Remove, row)
			of(row.Staff).Removed++
		}
	}
	for _, c := range changes {
		p.Changes = append(p.Changes, *c)
	}
	slices.SortFunc(p.Changes, func(a, b StaffChange) int { return cmp.Compare(a.Staff, b.Staff) })
	return p
}

// staffFacts count, and tell nobody who or which; plan proves later what was imported to
// who has the file and the register.
type staffFacts struct {
	Plan    string `json:"plan"`
	Staff   int    `json:"staff"`
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
}

// StaffImported drafts the entry of an import.
func StaffImported(actor, role string, p StaffPlan) ledger.Draft {
	return ledger.Draft{Kind: KindStaffImported, Actor: actor, Role: role, Facts: staffFacts{p.ID, len(p.Changes), len(p.Put), len(p.Remove)}}
}

// PlanOf returns the plan that an entry of an import is of.
func PlanOf(e ledger.Entry) (string, error) {
	var f staffFacts
	err := json.Unmarshal(e.Header.Facts, &f)
	return f.Plan, err
}

// StaffListAt returns when the list was last imported whole; before the first time, when
// a line of it was last changed. Zero: never.
func (s *State) StaffListAt() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.staffImported.IsZero() {
		return s.staffImported
	}
	return s.staffChanged
}

// StaffListDue reports whether the list of staff's lines is to be looked at again: it is
// older than the limit, or there never was one.
func (s *State) StaffListDue(now time.Time, l Limits) bool {
	return now.Sub(s.StaffListAt()) >= time.Duration(l.Filled().StaffListDays)*day
}

func (s *State) applyStaff(e ledger.Entry) {
	if e.Header.Kind == KindStaffImported {
		s.staffImported = e.Header.At
		return
	}
	s.staffChanged = e.Header.At
}
