package warrant

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindVerify records that the authority was called back.
const KindVerify = "warrant.verify"

// CallBack is the outcome of calling an authority back.
type CallBack string

// Outcomes of a call-back.
const (
	CallBackConfirmed CallBack = "CONFIRMED" // the authority sent this order
	CallBackDenied    CallBack = "DENIED"    // it did not; approvals are void
	CallBackNoAnswer  CallBack = "NO_ANSWER" // nobody could say
)

// NumberForm is that of a telephone number as the registry keeps it: E.164.
var NumberForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// NormalNumber takes out of a number what people write between its digits.
func NormalNumber(s string) string {
	return strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "").Replace(s)
}

// VerifyRequest records one call. Number is what was dialled; it must be the one
// in the registry, never one from the letter. SpokeWith and Note are sealed.
type VerifyRequest struct {
	WarrantID       string
	Generation      uint64
	ContentSHA256   string
	Number          string
	Outcome         CallBack
	SpokeWith, Note string
}

type verifyFacts struct {
	Revision            uint64   `json:"revision"`
	ContentSHA256       string   `json:"content_sha256"`
	Outcome             CallBack `json:"outcome"`
	AuthorityGeneration uint64   `json:"authority_generation"` // of the registry's record; 0: not registered
}

// verifyBody is sealed.
type verifyBody struct {
	Number    string `json:"number"`
	SpokeWith string `json:"spoke_with"`
	Note      string `json:"note,omitempty"`
}

// Verify records that the authority was called back, on the number that the
// registry has of it (D-05). No approval is taken before an outcome CONFIRMED. It
// may be recorded again; a DENIED makes the approvals void that there are, and no
// package is handed over before another call says otherwise.
func (r *Rules) Verify(s *State, now time.Time, by Caller, req VerifyRequest) (ledger.Draft, *reason.Error) {
	role, err := by.legal()
	if err != nil {
		return ledger.Draft{}, err
	}
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if req.ContentSHA256 != w.ContentSHA256 {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	if err := r.Entitled(w); err != nil && req.Outcome != CallBackDenied {
		return ledger.Draft{}, err
	}
	a, registered := r.authority(w.Authority)
	var bad []reason.Violation
	complain := func(field, description string) {
		bad = append(bad, reason.Violation{Field: field, Description: description})
	}
	switch number := NormalNumber(req.Number); {
	case !NumberForm.MatchString(number):
		complain("number", "must be the number that was called, as +31701234567")
	case registered && number != a.CallBack:
		complain("number", "is not the authority's number in the registry: call that one, never one from the letter")
	}
	if !slices.Contains([]CallBack{CallBackConfirmed, CallBackDenied, CallBackNoAnswer}, req.Outcome) {
		complain("outcome", "must be CONFIRMED, DENIED or NO_ANSWER")
	}
	if req.SpokeWith == "" && req.Outcome != CallBackNoAnswer {
		complain("spoke_with", "is missing: who at the authority said so")
	}
	if len(req.SpokeWith) > maxText || strings.ContainsFunc(req.SpokeWith, notPrintable) {
		complain("spoke_with", fmt.Sprintf("must be printable text of at most %d bytes", maxText))
	}
	if len(req.Note) > maxExplanation {
		complain("note", fmt.Sprintf("is longer than %d bytes", maxExplanation))
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return ledger.Draft{
		Kind: KindVerify, Actor: by.Actor, Role: string(role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: verifyFacts{Revision: w.Revision, ContentSHA256: w.ContentSHA256, Outcome: req.Outcome, AuthorityGeneration: a.Generation},
		Body:  verifyBody{Number: NormalNumber(req.Number), SpokeWith: req.SpokeWith, Note: req.Note},
	}, nil
}

func (s *State) applyVerify(e ledger.Entry) (bool, error) {
	var f verifyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || f.ContentSHA256 != w.ContentSHA256 {
		return false, nil
	}
	switch f.Outcome {
	case CallBackConfirmed:
		w.Verified, w.VerifiedIndex, w.VerifiedBy, w.VerifiedAt = true, e.Index, e.Header.Actor, e.Header.At
		w.DeniedAt = time.Time{}
	case CallBackDenied:
		w.voidCallBack()
		w.Approvals, w.DeniedAt = nil, e.Header.At
	}
	w.Revision++
	return true, nil
}

// voidCallBack is for an edit after which the call said something else.
func (w *Warrant) voidCallBack() {
	w.Verified, w.VerifiedIndex, w.VerifiedBy, w.VerifiedAt = false, 0, "", time.Time{}
}

// KeepsCallBack reports whether a call about c before an edit still says
// everything about it after: who orders, under which reference, about whom, and
// to which key.
func (c Content) KeepsCallBack(before Content) bool {
	only := func(c Content) string {
		return string(Content{Authority: c.Authority, Reference: c.Reference, LegalBasis: c.LegalBasis, Targets: c.Targets, Recipient: c.Recipient}.Canonical())
	}
	return only(c) == only(before)
}

// undenied refuses while the authority's last word is that it did not send the order.
func (w *Warrant) undenied() *reason.Error {
	if w.DeniedAt.IsZero() {
		return nil
	}
	return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "verification",
		Description: "says that the authority did not send this order: revoke the warrant, or call the authority back again"})
}

// verified refuses while the authority was not called back.
func (w *Warrant) verified() *reason.Error {
	if w.Verified {
		return nil
	}
	return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "verification",
		Description: "is missing: call the authority back on the number in the registry, and record it"})
}
