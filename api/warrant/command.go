package warrant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Rules are what commands are judged by.
type Rules struct {
	// Law returns the legal-basis profiles in force: a new one applies to the next
	// command. Required; [Always] for what never changes.
	Law func() Law
	// Authorities looks an authority up in the registry. Nil: nobody is registered.
	Authorities func(id string) (AuthorityView, bool)
	// DuplicateKey keys the hash by which a second warrant with the same
	// authority, reference and basis is found, at least 16 bytes. The hash stands
	// in clear headers; without a key it would give the reference away.
	DuplicateKey []byte
	// RequireDocument wants the order itself in the dossier before anybody approves
	// (disclosure.md D-03).
	RequireDocument bool
	// HoldLasts reports whether a hold that a warrant made can be read at an instant: its
	// dossier then takes the orders that extend or end it, also when the warrant has
	// lapsed. Nil: no hold is known.
	HoldLasts func(warrantID string, now time.Time) bool
	// ApprovalAge is how long an approval counts. Default 24 h.
	ApprovalAge time.Duration
	// ThirdApproverAbove is how many targets a warrant may name before the privacy
	// controller must approve it too. Default [DefaultThirdApproverAbove].
	ThirdApproverAbove int
	// MaxTasks is how many tasks one warrant may have. Default 100.
	MaxTasks int
	// DoubleEntry wants every question keyed a second time, by another person, before
	// it is run (disclosure.md D-25).
	DoubleEntry bool
	// PackageExpires returns when a package that was first fetched at an instant
	// has been kept long enough, by the retention policy in force; false: not
	// before its warrant ends, when every package goes. Nil: never sooner.
	PackageExpires func(fetchedAt time.Time) (time.Time, bool)
	// DownloadFor is how long a package may be downloaded, at most and by default
	// [MaxDownload]. AcknowledgedFor is how long one is kept that the authority
	// acknowledged. Default [DefaultAcknowledgedFor].
	DownloadFor, AcknowledgedFor time.Duration
}

// DefaultApprovalAge and DefaultMaxTasks are what zero values of [Rules] mean.
const (
	DefaultApprovalAge = 24 * time.Hour
	DefaultMaxTasks    = 100
	maxExplanation     = 2000
)

// NewRules checks r and fills in defaults.
func NewRules(r Rules) (*Rules, error) {
	if r.Law == nil {
		return nil, fmt.Errorf("warrant rules: the law in force is needed")
	}
	if len(r.DuplicateKey) < 16 {
		return nil, fmt.Errorf("warrant rules: the duplicate key has %d bytes, want at least 16", len(r.DuplicateKey))
	}
	if r.ApprovalAge <= 0 {
		r.ApprovalAge = DefaultApprovalAge
	}
	if r.ThirdApproverAbove <= 0 {
		r.ThirdApproverAbove = DefaultThirdApproverAbove
	}
	if r.MaxTasks <= 0 {
		r.MaxTasks = DefaultMaxTasks
	}
	return &r, nil
}

// KeyID returns the name of the case key of a warrant.
func KeyID(warrantID string) string { return "case:" + warrantID }

// CreateRequest asks for a new warrant. ID and Salt are random, made by the shell.
// Team is the one that will work on it; empty: the caller's, if they have one.
type CreateRequest struct {
	ID, Salt string
	Content  Content
	Team     string
}

// Create judges a new warrant: whether it compels at all, its form, then its basis.
func (r *Rules) Create(s *State, now time.Time, by Caller, req CreateRequest) (ledger.Draft, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	team, err := by.teamFor(req.Team)
	if err != nil {
		return ledger.Draft{}, err
	}
	facts, err := r.judge(s, now, by, req.Content, req.Salt, nil)
	if err != nil {
		return ledger.Draft{}, err
	}
	if _, taken := s.Warrant(req.ID); taken {
		return ledger.Draft{}, reason.New(reason.DuplicateWarrant, "")
	}
	return ledger.Draft{Kind: KindCreate, Actor: by.Actor, Role: string(LegalOfficer), WarrantID: req.ID, Generation: 1, KeyID: KeyID(req.ID),
		Facts: newFacts{facts, team}, Body: CreateBody{Content: req.Content, Salt: req.Salt}}, nil
}

// judge judges a content, of a new warrant or of one that has another now, and
// returns what of it stands in clear.
func (r *Rules) judge(s *State, now time.Time, by Caller, c Content, salt string, before *Warrant) (createFacts, *reason.Error) {
	law := r.Law()
	if err := r.compelled(law, c); err != nil {
		return createFacts{}, err
	}
	times, err := c.Validate(now)
	if err != nil {
		return createFacts{}, err
	}
	period, served, id := times, now, ""
	if before != nil {
		served, id = before.ServedAt, before.ID
		if !before.PeriodFrom.Equal(before.ValidFrom) { // it was extended
			period.ValidFrom = before.PeriodFrom
		}
	}
	basis, _ := law.Basis(c.LegalBasis) // compelled and Validate have asked for it
	profile := law.Of(basis.ID)
	if err := profile.permit(basis, c, period, served); err != nil {
		return createFacts{}, err
	}
	recipient, _ := RecipientFingerprint(c.Recipient)
	if err := r.mayReceive(c.Authority, c.Categories, recipient); err != nil {
		return createFacts{}, err
	}
	if !now.Before(times.ValidUntil) {
		return createFacts{}, reason.New(reason.WarrantExpired, "")
	}
	if err := r.urgency(basis, c); err != nil {
		return createFacts{}, err
	}
	key := r.duplicateKey(c)
	s.mu.RLock()
	holder := s.duplicates[key]
	s.mu.RUnlock()
	if holder != "" && holder != id {
		if other, ok := s.Warrant(holder); ok && by.Within(other) {
			return createFacts{}, reason.New(reason.DuplicateWarrant, "It is "+holder+".")
		}
		return createFacts{}, reason.New(reason.DuplicateWarrant, "Another team has it.")
	}
	return createFacts{
		Basis: c.LegalBasis, Categories: slices.Sorted(slices.Values(c.Categories)),
		ValidFrom: times.ValidFrom.UTC(), ValidUntil: times.ValidUntil.UTC(), PeriodFrom: period.ValidFrom.UTC(),
		ContentSHA256: c.Hash(salt), DuplicateKey: key, DocumentKey: r.documentKey(c.DocumentSHA256),
		Authority: c.Authority, Recipient: recipient, Profile: profile.Name, ProfileSHA256: profile.SHA256,
		Terms: r.terms(profile, basis, c, served),
	}, nil
}

// duplicateKey is the same for references that differ in nothing but case and spaces,
// as they do when two people copy one.
func (r *Rules) duplicateKey(c Content) string {
	mac := hmac.New(sha256.New, r.DuplicateKey)
	reference := strings.ToUpper(strings.ReplaceAll(c.Reference, " ", ""))
	for _, s := range []string{"warrant-duplicate", c.Authority, reference, c.LegalBasis} {
		fmt.Fprintf(mac, "%d:", len(s))
		io.WriteString(mac, s)
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
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
