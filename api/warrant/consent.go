package warrant

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Consent is one person's part in an act that lets go on what was stopped: the
// resumption of a suspended warrant, or the clearance of an enforcing authority's
// notice. What tightens a block takes one person; what loosens it lets data out, and
// takes two, in two roles, of the same content.
type Consent struct {
	Kind  string // [KindResume] or [KindClearNotice]
	Actor string
	Role  Role
	// Document is the keyed hash of what it rests on, empty for a resumption.
	Document string
	At       time.Time
	Index    uint64 // of the ledger entry
}

// consenting are the roles in which a consent is given, as an approval is.
var consenting = []Role{LegalOfficer, LegalApprover, ExternalApprover}

type consentFacts struct {
	Revision      uint64   `json:"revision"`
	ContentSHA256 string   `json:"content_sha256"`
	Role          Role     `json:"role"`
	DocumentKey   string   `json:"document_key,omitempty"` // as in createFacts
	Beside        []uint64 `json:"beside"`                 // ledger index of the other person's, if it still counted
}

// consent judges one person's part in an act of a kind. It counts for ApprovalAge
// beside another person's in the other role, of the same content and document.
func (r *Rules) consent(w Warrant, now time.Time, by Caller, kind, contentSHA256, document string) (consentFacts, *reason.Error) {
	roles := slices.DeleteFunc(slices.Clone(consenting), func(role Role) bool { return !by.Has(role) })
	if len(roles) == 0 {
		return consentFacts{}, reason.New(reason.PermissionDenied, "")
	}
	if contentSHA256 != w.ContentSHA256 {
		return consentFacts{}, reason.New(reason.GenerationMismatch, "")
	}
	f := consentFacts{Revision: w.Revision, ContentSHA256: w.ContentSHA256, DocumentKey: document, Beside: []uint64{}}
	for _, c := range w.Pending(now, r.ApprovalAge) {
		if c.Kind != kind || c.Document != document {
			continue
		}
		if c.Actor == by.Actor {
			return consentFacts{}, reason.New(reason.SelfApproval, "The caller has said so already: it takes a second person, in the other role.")
		}
		roles = slices.DeleteFunc(roles, func(role Role) bool { return role.Seat() == c.Role.Seat() })
		f.Beside = append(f.Beside, c.Index)
	}
	if len(roles) == 0 {
		return consentFacts{}, reason.New(reason.SelfApproval, "The first person said so in the same role.")
	}
	f.Role = roles[0]
	return f, nil
}

// Pending returns the consents that wait for a second person's at now.
func (w *Warrant) Pending(now time.Time, approvalAge time.Duration) []Consent {
	return slices.DeleteFunc(slices.Clone(w.Consents), func(c Consent) bool { return !now.Before(c.At.Add(approvalAge)) })
}

// awaitsConsent reports whether a person in a seat is asked for their part at now.
func (w *Warrant) awaitsConsent(seat Role, now time.Time, approvalAge time.Duration) bool {
	return slices.ContainsFunc(w.Pending(now, approvalAge), func(c Consent) bool { return c.Role.Seat() != seat })
}

// applyConsent takes in one person's part; the second one's has the act done.
func (s *State) applyConsent(e ledger.Entry) (bool, error) {
	var f consentFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, kind := s.current(e, f.Revision), e.Header.Kind
	if w == nil || f.ContentSHA256 != w.ContentSHA256 || kind == KindClearNotice && !w.noticeBlocks(e.Header.At) || kind == KindResume && w.SuspendedAt.IsZero() {
		return false, nil
	}
	var kept []Consent // of the other kind, and what this one may stand beside
	whole := false
	for _, c := range w.Consents {
		beside := c.Kind == kind && slices.Contains(f.Beside, c.Index)
		if beside && (c.Actor == e.Header.Actor || c.Role.Seat() == f.Role.Seat() || c.Document != f.DocumentKey) {
			return false, nil
		}
		if whole = whole || beside; c.Kind != kind || beside {
			kept = append(kept, c)
		}
	}
	w.Revision++
	if !whole {
		w.Consents = append(kept, Consent{Kind: kind, Actor: e.Header.Actor, Role: f.Role, Document: f.DocumentKey, At: e.Header.At, Index: e.Index})
		return true, nil
	}
	w.Consents = slices.DeleteFunc(kept, func(c Consent) bool { return c.Kind == kind })
	if len(w.Consents) == 0 {
		w.Consents = nil
	}
	switch kind {
	case KindClearNotice:
		w.NoticeClearedAt = e.Header.At
	case KindResume:
		w.SuspendedAt = time.Time{}
	}
	return true, nil
}

// consentEffect says that an act waits for its second person, or "".
func (r *Rules) consentEffect(before *Warrant, after Warrant) string {
	for _, c := range after.Consents {
		if slices.Contains(before.Consents, c) {
			continue
		}
		other := LegalOfficer
		if c.Role.Seat() == LegalOfficer {
			other = LegalApprover
		}
		return fmt.Sprintf("it waits for a second person, as %s, until %s", other, c.At.Add(r.ApprovalAge).UTC().Format(time.RFC3339))
	}
	return ""
}
