package hold

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Kinds of ledger entry that this package drafts.
const (
	KindMake    = "hold.make"
	KindExtend  = "hold.extend"
	KindEnd     = "hold.end"
	KindDestroy = "hold.destroy" // the certificate
)

// Day is what terms are counted in, so that a hold made at noon ends at noon,
// whatever clocks on walls did meanwhile.
const Day = 24 * time.Hour

const maxExplanation = 2000

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Rules are what commands are judged by.
type Rules struct {
	Law func() warrant.Law // in force
	// ApprovalAge is how long an approval of an extension counts.
	ApprovalAge time.Duration
	// Document returns the document of a warrant's dossier that has a hash, or false
	// ([warrant.Rules.DocumentOf]). Nil: no dossier has any, and no hold is extended or
	// ended by an order.
	Document func(warrantID, sha256 string) (warrant.Document, bool)
}

// document returns the order that an act rests on. It is in the dossier of
// the hold's warrant, as it was received, so that whoever approves reads the same
// (disclosure.md D-03).
func (r *Rules) document(h Hold, sha256 string) (warrant.Document, *reason.Error) {
	refuse := func(why reason.Reason, description string) (warrant.Document, *reason.Error) {
		return warrant.Document{}, reason.Invalid(why, reason.Violation{Field: "document_sha256", Description: description})
	}
	if !sha256Form.MatchString(sha256) {
		return refuse(reason.InvalidRequest, "must be 64 lower-case hexadecimal digits")
	}
	if r.Document != nil {
		if d, ok := r.Document(h.WarrantID, sha256); ok {
			return d, nil
		}
	}
	return refuse(reason.WarrantIncomplete, "is of no document in the dossier of the hold's warrant: store the order as it was received (griffier document put)")
}

// MakeRequest is a copy that was sealed and waits to be a hold.
type MakeRequest struct {
	ID         string
	Days       uint32 // 0: all that the basis allows
	FileSHA256 string
	Rows       map[string]uint64 // by class
}

// Make drafts the entry that makes a sealed copy a hold, for a task that is being
// executed. Whether its warrant still lasts is asked by the caller, in the same
// decision. The approvals of the warrant are what the first term rests on.
func (r *Rules) Make(s *State, now time.Time, by warrant.Caller, t warrant.Task, w warrant.Warrant, req MakeRequest) (ledger.Draft, *reason.Error) {
	basis, ok := r.Law().Basis(w.Basis)
	switch {
	case !ok || basis.Disabled || basis.HoldDays == 0:
		return ledger.Draft{}, reason.New(reason.CategoryExceedsBasis, "The legal basis has no term for holds.")
	case t.Category != warrant.Preservation || t.Stored() != warrant.TaskExecuting:
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The task preserves nothing, or its execution was aborted.")
	case !sha256Form.MatchString(req.FileSHA256):
		return ledger.Draft{}, reason.New(reason.SchemaInvalid, "")
	}
	if _, taken := s.Hold(req.ID); taken {
		return ledger.Draft{}, reason.New(reason.Internal, "")
	}
	if h, ok := s.OfTask(t.ID); ok && h.Readable(now) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The task has made a hold already.")
	}
	days := basis.HoldDays
	if req.Days != 0 {
		days = min(days, int(req.Days))
	}
	return req.draft(now, by, w, Kept{TaskID: t.ID}, days, false), nil
}

// draft is the entry of a hold of one question of a warrant, for so many days.
func (m MakeRequest) draft(now time.Time, by warrant.Caller, w warrant.Warrant, of Kept, days int, unexecuted bool) ledger.Draft {
	total := uint64(0)
	for _, n := range m.Rows {
		total += n
	}
	return ledger.Draft{Kind: KindMake, Actor: by.Actor, Role: string(warrant.Executor), WarrantID: w.ID, TaskID: of.TaskID,
		Generation: w.Generation, KeyID: w.KeyID,
		Facts: makeFacts{HoldID: m.ID, Basis: w.Basis, EndsAt: now.UTC().Add(time.Duration(days) * Day), HoldKeyID: KeyID(m.ID),
			FileSHA256: m.FileSHA256, RowBand: Band(total), Unexecuted: unexecuted, Target: of.Target},
		Body: makeBody{Rows: m.Rows}}
}

// Band returns the band of a number of rows: exact numbers are not told.
func Band(rows uint64) string {
	switch {
	case rows <= 10:
		return "1-10"
	case rows <= 100:
		return "11-100"
	case rows <= 1000:
		return "101-1,000"
	}
	return ">1,000"
}

// ExtendRequest approves an extension by a document that is in the dossier.
type ExtendRequest struct {
	HoldID         string
	Generation     uint64
	DocumentSHA256 string
}

// Extend approves that a hold lasts longer: once, by what the profile as it is now
// allows, while the hold lives. The second approval must be by another person in
// the other role, of the same document, and not too long after the first.
func (r *Rules) Extend(s *State, now time.Time, by warrant.Caller, req ExtendRequest) (ledger.Draft, *reason.Error) {
	h, err := s.live(now, req.HoldID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	basis, ok := r.Law().Basis(h.Basis)
	switch {
	case !ok || basis.Disabled || basis.ExtensionDays == 0:
		return ledger.Draft{}, reason.New(reason.AuthorityNotEntitled, "The profile holds no extension for this basis; a new order can be preserved anew while the data is there.")
	case !h.ExtendedAt.IsZero():
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It was extended already, and that can be done once.")
	}
	var roles []warrant.Role
	for _, role := range []warrant.Role{warrant.LegalOfficer, warrant.LegalApprover, warrant.ExternalApprover} {
		if by.Has(role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	document, err := r.document(h, req.DocumentSHA256)
	if err != nil {
		return ledger.Draft{}, err
	}
	if document.StoredAt.Before(h.MadeAt) {
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "document_sha256",
			Description: "is of a document that was there before the hold was made: an extension has an order of its own"})
	}
	beside := []uint64{}
	for _, a := range h.Approvals {
		if !now.Before(a.At.Add(r.ApprovalAge)) || a.DocumentID != document.ID {
			continue
		}
		if a.Actor == by.Actor {
			return ledger.Draft{}, reason.New(reason.SelfApproval, "The caller's approval is there already.")
		}
		roles = slices.DeleteFunc(roles, func(role warrant.Role) bool { return role.Seat() == a.Role.Seat() })
		beside = append(beside, a.Index)
	}
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approval that is there was given in the same role.")
	}
	return ledger.Draft{Kind: KindExtend, Actor: by.Actor, Role: string(roles[0]), WarrantID: h.WarrantID, TaskID: h.TaskID, KeyID: h.CaseKeyID,
		Facts: extendFacts{HoldID: h.ID, Generation: h.Generation, DocumentID: document.ID, Role: roles[0], Beside: beside,
			EndsAt: h.EndsAt.Add(time.Duration(basis.ExtensionDays) * Day)},
		Body: documentBody{DocumentSHA256: req.DocumentSHA256}}, nil
}

// EndRequest ends a hold by a document that is in the dossier. The explanation is sealed.
type EndRequest struct {
	HoldID         string
	Generation     uint64
	DocumentSHA256 string
	Explanation    string
}

// End ends a hold before its time. One person suffices: to stop is always safe.
func (r *Rules) End(s *State, now time.Time, by warrant.Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	h, err := s.live(now, req.HoldID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	role := warrant.LegalOfficer
	if !by.Has(role) {
		role = warrant.LegalApprover
	}
	switch {
	case !by.Has(role):
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	case len(req.Explanation) > maxExplanation:
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest,
			reason.Violation{Field: "explanation", Description: fmt.Sprintf("is longer than %d bytes", maxExplanation)})
	}
	document, err := r.document(h, req.DocumentSHA256)
	if err != nil {
		return ledger.Draft{}, err
	}
	return ledger.Draft{Kind: KindEnd, Actor: by.Actor, Role: string(role), WarrantID: h.WarrantID, TaskID: h.TaskID, KeyID: h.CaseKeyID,
		Facts: endFacts{HoldID: h.ID, DocumentID: document.ID}, Body: documentBody{req.DocumentSHA256, req.Explanation}}, nil
}

// Destroy drafts the certificate that a hold that has ended is no more: its key
// was destroyed, its file removed.
func (r *Rules) Destroy(s *State, now time.Time, by warrant.Caller, id string) (ledger.Draft, *reason.Error) {
	h, ok := s.Hold(id)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if h.Status(now) != Ended {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The hold lives, or was destroyed.")
	}
	return ledger.Draft{Kind: KindDestroy, Actor: by.Actor, Role: string(warrant.Executor), WarrantID: h.WarrantID, TaskID: h.TaskID,
		Facts: destroyFacts{HoldID: h.ID, HoldKeyID: KeyID(h.ID), EndedAt: h.End(), RowBand: h.RowBand, FileSHA256: h.FileSHA256}}, nil
}

// live returns the hold if it exists, lives at now and has the expected generation.
func (s *State) live(now time.Time, id string, generation uint64) (Hold, *reason.Error) {
	h, ok := s.Hold(id)
	switch {
	case !ok:
		return Hold{}, reason.New(reason.NotFound, "")
	case !h.Readable(now):
		return Hold{}, reason.New(reason.WarrantTerminal, "The hold has ended.")
	case h.Generation != generation:
		return Hold{}, reason.New(reason.GenerationMismatch, "")
	}
	return h, nil
}
