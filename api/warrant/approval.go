package warrant

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindApprove is the entry of one approval.
const KindApprove = "warrant.approve"

// DefaultThirdApproverAbove is how many targets a warrant may name before the
// privacy controller must approve it too.
const DefaultThirdApproverAbove = 10

// Approval is one person's approval in one role.
type Approval struct {
	Actor         string
	Role          Role
	Generation    uint64
	ContentSHA256 string
	At            time.Time
	Index         uint64 // of the ledger entry
}

// approving are the roles that approve, in the order in which somebody who has
// several is asked for one.
var approving = []Role{LegalOfficer, LegalApprover, ExternalApprover, PrivacyController}

// Seat is the role that an approval counts as. A lawyer from outside sits for the
// legal approver of a provider that has one lawyer.
func (r Role) Seat() Role {
	if r == ExternalApprover {
		return LegalApprover
	}
	return r
}

// Seats are the roles in which a warrant must be approved, each by another person.
func (w *Warrant) Seats() []Role {
	if w.ThirdApprover {
		return []Role{LegalOfficer, LegalApprover, PrivacyController}
	}
	return []Role{LegalOfficer, LegalApprover}
}

// seat returns the approval in a seat, or nil.
func (w *Warrant) seat(role Role) *Approval {
	i := slices.IndexFunc(w.Approvals, func(a Approval) bool { return a.Role.Seat() == role })
	if i < 0 {
		return nil
	}
	return &w.Approvals[i]
}

// approved reports whether every seat is taken, each by another person.
func (w *Warrant) approved() bool {
	var actors []string
	for _, role := range w.Seats() {
		a := w.seat(role)
		if a == nil || slices.Contains(actors, a.Actor) {
			return false
		}
		actors = append(actors, a.Actor)
	}
	return true
}

// AwaitingApprovals are the seats that nobody has taken, or took too long ago to
// count at now.
func (w *Warrant) AwaitingApprovals(now time.Time, approvalAge time.Duration) []Role {
	return slices.DeleteFunc(w.Seats(), func(role Role) bool {
		a := w.seat(role)
		return a != nil && now.Before(a.At.Add(approvalAge))
	})
}

// Asks reports whether a warrant needs, at now, what a caller who does nothing but
// approve may give: a seat of theirs is free or its approval too old, or a colleague
// waits for a second person to let it go on. One that has ended needs nobody.
func (r *Rules) Asks(w Warrant, now time.Time, by Caller) bool {
	if w.State(now).Terminal() {
		return false
	}
	return slices.ContainsFunc(approving, func(role Role) bool {
		return by.Has(role) && (slices.Contains(w.AwaitingApprovals(now, r.ApprovalAge), role.Seat()) ||
			slices.Contains(consenting, role) && w.awaitsConsent(role.Seat(), now, r.ApprovalAge))
	})
}

// ApproveRequest binds an approval to what the approver saw.
type ApproveRequest struct {
	WarrantID     string
	Generation    uint64
	ContentSHA256 string
}

type approveFacts struct {
	Revision      uint64   `json:"revision"`
	ContentSHA256 string   `json:"content_sha256"`
	Role          Role     `json:"role"`
	Beside        []uint64 `json:"beside"` // ledger indexes of the approvals that still counted
}

// Approve adds an approval. The first may be the creator's; every other must be by
// another person in another role. An approval counts for ApprovalAge from when it
// was given, and not from when it was asked for; then it may be given anew. Of an
// oral order only the legal officer's is taken until its paper is there.
func (r *Rules) Approve(s *State, now time.Time, by Caller, req ApproveRequest) (ledger.Draft, *reason.Error) {
	roles := slices.DeleteFunc(slices.Clone(approving), func(role Role) bool { return !by.Has(role) })
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if req.ContentSHA256 != w.ContentSHA256 {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	if err := r.approvable(s, w); err != nil {
		return ledger.Draft{}, err
	}
	roles = slices.DeleteFunc(roles, func(role Role) bool { return !slices.Contains(w.Seats(), role.Seat()) })
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "The privacy controller approves warrants of more targets.")
	}
	beside := []uint64{}
	for _, a := range w.Approvals {
		if !now.Before(a.At.Add(r.ApprovalAge)) {
			continue
		}
		if a.Actor == by.Actor {
			return ledger.Draft{}, reason.New(reason.SelfApproval, "The caller's approval is there already.")
		}
		roles = slices.DeleteFunc(roles, func(role Role) bool { return role.Seat() == a.Role.Seat() })
		beside = append(beside, a.Index)
	}
	switch {
	case len(beside) == len(w.Seats()):
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It has every approval.")
	case len(roles) == 0:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approval that is there was given in the same role.")
	case w.Emergency && w.PaperAt.IsZero() && roles[0] != LegalOfficer:
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "paper",
			Description: "is missing: until the paper of an oral order is recorded only the legal officer approves"})
	}
	return ledger.Draft{
		Kind: KindApprove, Actor: by.Actor, Role: string(roles[0]), WarrantID: w.ID, Generation: w.Generation,
		Facts: approveFacts{Revision: w.Revision, ContentSHA256: w.ContentSHA256, Role: roles[0], Beside: beside},
	}, nil
}

// approvable refuses an approval before what must come first: the authority was
// called back, the order is in the dossier, and who sent it may still act on it.
func (r *Rules) approvable(s *State, w Warrant) *reason.Error {
	if err := w.verified(); err != nil {
		return err
	}
	if r.RequireDocument && (!w.Emergency || !w.PaperAt.IsZero()) {
		if err := s.documented(w.ID); err != nil {
			return err
		}
	}
	return r.Entitled(w)
}

func (s *State) applyApprove(e ledger.Entry) (bool, error) {
	var f approveFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || f.ContentSHA256 != w.ContentSHA256 {
		return false, nil
	}
	var kept []Approval
	for _, a := range w.Approvals {
		if slices.Contains(f.Beside, a.Index) {
			if a.Actor == e.Header.Actor || a.Role.Seat() == f.Role.Seat() {
				return false, nil
			}
			kept = append(kept, a)
		}
	}
	w.Approvals = append(kept, Approval{Actor: e.Header.Actor, Role: f.Role, Generation: e.Header.Generation,
		ContentSHA256: f.ContentSHA256, At: e.Header.At, Index: e.Index})
	if w.approved() || w.Emergency && w.seat(LegalOfficer) != nil {
		w.WasApproved = true
	}
	w.Revision++
	return true, nil
}

// approvedAt refuses execution while the approvals that the warrant needs are not
// there at now, or one of them is too old.
func (w *Warrant) approvedAt(now time.Time, approvalAge time.Duration) *reason.Error {
	missing := func(description string) *reason.Error {
		return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "approvals", Description: description})
	}
	if state := w.State(now); state != Approved && state != EmergencyApproval {
		return missing(fmt.Sprintf("are %d of %d: as many persons in as many roles must approve", len(w.Approvals), len(w.Seats())))
	}
	if !now.Before(w.EffectiveUntil(approvalAge)) {
		return missing(fmt.Sprintf("are older than %v: approve again", approvalAge))
	}
	return nil
}
