package warrant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Rules are what commands are judged by.
type Rules struct {
	// Profile returns the legal-basis profile in force: a new one applies to the
	// next command. Required; [Always] for one that never changes.
	Profile func() *Profile
	// Authorities looks an authority up in the registry. Nil: nobody is registered.
	Authorities func(id string) (AuthorityView, bool)
	// DuplicateKey keys the hash by which a second warrant with the same
	// authority, reference and basis is found, at least 16 bytes. The hash stands
	// in clear headers; without a key it would give the reference away.
	DuplicateKey []byte
	// ApprovalAge is how long an approval counts. Default 24 h.
	ApprovalAge time.Duration
	// MaxTasks is how many tasks one warrant may have. Default 100.
	MaxTasks int
	// PackageExpires returns when a package that was first fetched at an instant
	// has been kept long enough, by the retention policy in force; false: not
	// before its warrant ends, when every package goes. Nil: never sooner.
	PackageExpires func(fetchedAt time.Time) (time.Time, bool)
}

// DefaultApprovalAge and DefaultMaxTasks are what zero values of [Rules] mean.
const (
	DefaultApprovalAge = 24 * time.Hour
	DefaultMaxTasks    = 100
	maxExplanation     = 2000
)

// NewRules checks r and fills in defaults.
func NewRules(r Rules) (*Rules, error) {
	if r.Profile == nil || r.Profile() == nil {
		return nil, fmt.Errorf("warrant rules: a legal profile is needed")
	}
	if len(r.DuplicateKey) < 16 {
		return nil, fmt.Errorf("warrant rules: the duplicate key has %d bytes, want at least 16", len(r.DuplicateKey))
	}
	if r.ApprovalAge <= 0 {
		r.ApprovalAge = DefaultApprovalAge
	}
	if r.MaxTasks <= 0 {
		r.MaxTasks = DefaultMaxTasks
	}
	return &r, nil
}

// KeyID returns the name of the case key of a warrant.
func KeyID(warrantID string) string { return "case:" + warrantID }

// CreateRequest asks for a new warrant. ID and Salt are random, made by the shell.
type CreateRequest struct {
	ID, Salt string
	Content  Content
}

// Create judges a new warrant: whether it compels at all, its form, then its basis.
func (r *Rules) Create(s *State, now time.Time, by Caller, req CreateRequest) (ledger.Draft, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	profile := r.Profile()
	if err := r.compelled(profile, req.Content); err != nil {
		return ledger.Draft{}, err
	}
	times, err := req.Content.Validate(now)
	if err != nil {
		return ledger.Draft{}, err
	}
	if err := profile.permit(req.Content, times, now); err != nil {
		return ledger.Draft{}, err
	}
	recipient, _ := RecipientFingerprint(req.Content.Recipient)
	if err := r.mayReceive(req.Content.Authority, req.Content.Categories, recipient); err != nil {
		return ledger.Draft{}, err
	}
	if !now.Before(times.ValidUntil) {
		return ledger.Draft{}, reason.New(reason.WarrantExpired, "")
	}
	key := r.duplicateKey(req.Content)
	s.mu.RLock()
	taken := s.duplicates[key] != "" || s.warrants[req.ID] != nil
	s.mu.RUnlock()
	if taken {
		return ledger.Draft{}, reason.New(reason.DuplicateWarrant, "")
	}
	return ledger.Draft{
		Kind: KindCreate, Actor: by.Actor, Role: string(LegalOfficer), WarrantID: req.ID, Generation: 1, KeyID: KeyID(req.ID),
		Facts: createFacts{
			Basis: req.Content.LegalBasis, Categories: slices.Sorted(slices.Values(req.Content.Categories)),
			ValidFrom: times.ValidFrom.UTC(), ValidUntil: times.ValidUntil.UTC(),
			ContentSHA256: req.Content.Hash(req.Salt), DuplicateKey: key,
			Authority: req.Content.Authority, Recipient: recipient, Profile: profile.Name, ProfileSHA256: profile.SHA256,
		},
		Body: CreateBody{Content: req.Content, Salt: req.Salt},
	}, nil
}

func (r *Rules) duplicateKey(c Content) string {
	mac := hmac.New(sha256.New, r.DuplicateKey)
	for _, s := range []string{"warrant-duplicate", c.Authority, c.Reference, c.LegalBasis} {
		fmt.Fprintf(mac, "%d:", len(s))
		io.WriteString(mac, s)
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// ApproveRequest binds an approval to what the approver saw.
type ApproveRequest struct {
	WarrantID     string
	Generation    uint64
	ContentSHA256 string
}

// Approve adds an approval. The first may be the creator's; the second must be
// by another person in the other role. An approval older than the age limit
// counts no more, and may be given anew.
func (r *Rules) Approve(s *State, now time.Time, by Caller, req ApproveRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if req.ContentSHA256 != w.ContentSHA256 {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	if err := w.verified(); err != nil {
		return ledger.Draft{}, err
	}
	if err := r.Entitled(w); err != nil {
		return ledger.Draft{}, err
	}
	var roles []Role
	for _, role := range []Role{LegalOfficer, LegalApprover} {
		if by.Has(role) {
			roles = append(roles, role)
		}
	}
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	beside := []uint64{}
	for _, a := range w.Approvals {
		if !now.Before(a.At.Add(r.ApprovalAge)) {
			continue
		}
		if a.Actor == by.Actor {
			return ledger.Draft{}, reason.New(reason.SelfApproval, "The caller's approval is there already.")
		}
		roles = slices.DeleteFunc(roles, func(role Role) bool { return role == a.Role })
		beside = append(beside, a.Index)
	}
	if len(beside) == 2 {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It has both approvals.")
	}
	if len(roles) == 0 {
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approval that is there was given in the same role.")
	}
	return ledger.Draft{
		Kind: KindApprove, Actor: by.Actor, Role: string(roles[0]), WarrantID: w.ID, Generation: w.Generation,
		Facts: approveFacts{Revision: w.Revision, ContentSHA256: w.ContentSHA256, Role: roles[0], Beside: beside},
	}, nil
}

// EndRequest rejects or revokes a warrant. The explanation is sealed.
type EndRequest struct {
	WarrantID   string
	Generation  uint64
	Explanation string
}

// Reject ends a warrant that is not approved. A new one with the same reference
// may follow, since a rejection is how a mistake at intake is put right.
func (r *Rules) Reject(s *State, now time.Time, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if w.State(now) == Approved {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It is approved: revoke it.")
	}
	return end(KindReject, w, by, req)
}

// Revoke ends a warrant in any live state. Running tasks of it stop, unfetched
// packages are destroyed.
func (r *Rules) Revoke(s *State, now time.Time, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	return end(KindRevoke, w, by, req)
}

func end(kind string, w Warrant, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	role := LegalOfficer
	if !by.Has(role) {
		role = LegalApprover
	}
	if !by.Has(role) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	if len(req.Explanation) > maxExplanation {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest,
			reason.Violation{Field: "explanation", Description: fmt.Sprintf("is longer than %d bytes", maxExplanation)})
	}
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: struct{}{}, Body: explanationBody{req.Explanation}}, nil
}

// liveWarrant returns the warrant if it exists, has not ended at now and has
// the expected generation.
func (s *State) liveWarrant(now time.Time, id string, generation uint64) (Warrant, *reason.Error) {
	w, ok := s.Warrant(id)
	if !ok {
		return Warrant{}, reason.New(reason.NotFound, "")
	}
	if err := w.live(now); err != nil {
		return Warrant{}, err
	}
	if w.Generation != generation {
		return Warrant{}, reason.New(reason.GenerationMismatch, "")
	}
	return w, nil
}
