package oversight

import (
	"regexp"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of entry about the lines of staff.
const (
	KindStaffLinePut     = "oversight.staff_line_put"
	KindStaffLineRemoved = "oversight.staff_line_removed"
)

var (
	actorForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
	lineForm  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// StaffLineBody is the sealed part: the clear header says who changed the list, and
// neither whose line it is nor which.
type StaffLineBody struct {
	Subject string `json:"subject"` // of the caller
	Staff   string `json:"staff"`
	LineID  string `json:"line_id"`
}

// StaffLine drafts the entry of a change.
func StaffLine(kind, actor, role, classKey string, body StaffLineBody) (ledger.Draft, *reason.Error) {
	var bad []reason.Violation
	if !actorForm.MatchString(body.Staff) {
		bad = append(bad, reason.Violation{Field: "staff", Description: "is required: the employee's pseudonym, 32 hexadecimal digits as the ledger shows it"})
	}
	if !lineForm.MatchString(body.LineID) {
		bad = append(bad, reason.Violation{Field: "line_id", Description: "is required: 1 to 64 of A-Z a-z 0-9 . _ -"})
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return ledger.Draft{Kind: kind, Actor: actor, Role: role, KeyID: classKey, Body: body}, nil
}
