package execute

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"

	"griffier/api/disclosure"
	"griffier/api/disclosure/letter"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Stamper has a time-stamping authority confirm a digest ([stamp.Client]).
type Stamper interface {
	Stamp(ctx context.Context, digest [32]byte) (token []byte, err error)
}

// Packing is what packages look like, and whom they are sealed to.
type Packing struct {
	// Provider is the provider's name, as letters have it.
	Provider string
	// Language is that of letters. Empty: that of the legal profile's country, if there
	// are words in it, else English.
	Language letter.Language
	// Recipients returns the key material that an authority's record has under a
	// fingerprint, or why not. Nil: packages are sealed to age keys only.
	Recipients func(ctx context.Context, authority, fingerprint string) (material string, err error)
	// Stamper is the time-stamping authority. Nil: packages have no token, and receipts
	// say so.
	Stamper Stamper
	// StampOptional releases a package whose token did not come in time, without one.
	// Otherwise it is refused (TIMESTAMP_UNAVAILABLE).
	StampOptional bool
}

// language returns the language of a letter.
func (p Packing) language(nation string) letter.Language {
	if p.Language != "" {
		return p.Language
	}
	if nation == "NL" {
		return letter.Dutch
	}
	return letter.English
}

// pack makes the package and seals it to the key that the warrant names.
func (x *Executor) pack(ctx context.Context, j job, f finding) ([]byte, error) {
	var lookup seal.Lookup
	if x.cfg.Packing.Recipients != nil {
		lookup = func(fingerprint string) (string, error) {
			return x.cfg.Packing.Recipients(ctx, j.content.Authority, fingerprint)
		}
	}
	to, err := seal.Resolve(j.content.Recipient, j.now, lookup)
	switch {
	case reason.From(err) != nil:
		return nil, err
	case err != nil:
		return nil, reason.Wrap(reason.RecipientUnfit, err)
	}
	zone, err := x.zone()
	if err != nil {
		return nil, reason.Wrap(reason.Internal, err)
	}
	c := disclosure.Case{
		Software: x.cfg.Software, WarrantID: j.w.ID, Reference: j.content.Reference, WarrantContentSHA256: j.w.ContentSHA256,
		LegalBasis: j.w.Basis, TaskID: j.t.ID, Generation: j.t.Generation, Attempt: j.t.Attempt, Category: string(j.t.Category),
		InstantEntered: j.body.Instant, Zone: zone, IntentIndex: j.t.IntentIndex, QueriedAt: j.now, Retention: f.retention,
		FromHold: j.body.FromHold, Preserved: f.preserved, WindowEnd: j.body.WindowEnd,
		To: disclosure.Addressee{Country: x.countryOf(j.content.Authority), Authority: j.content.Authority, RequestedBy: j.content.RequestedBy,
			Reference: j.content.Reference, Provider: x.cfg.Packing.Provider},
		Language: x.cfg.Packing.language(x.cfg.Rules.Law().Nation()), SealedTo: to.Fingerprint(), CorrectsSHA256: j.t.Delivery.CorrectsSHA256,
	}
	columns := disclosure.ColumnsFor(j.t.Category, j.w.Categories)
	if x.cfg.Packing.Stamper != nil {
		c.Stamp = func(digest [32]byte) ([]byte, error) { return x.stamp(ctx, digest) }
	}
	plain, err := disclosure.Tar(x.cfg.Signer, c, f.plan, f.evidence, f.answer, slices.Clone(f.records), columns)
	if reason.Of(err) == reason.TimestampUnavailable && x.cfg.Packing.StampOptional {
		c.Stamp = nil
		plain, err = disclosure.Tar(x.cfg.Signer, c, f.plan, f.evidence, f.answer, slices.Clone(f.records), columns)
	}
	switch {
	case reason.From(err) != nil:
		return nil, err
	case err != nil:
		return nil, reason.Wrap(reason.SchemaInvalid, err)
	}
	sealed, err := to.Seal(plain)
	if err != nil {
		return nil, reason.Wrap(reason.RecipientUnfit, err)
	}
	if len(sealed) > disclosure.MaxPackageBytes {
		return nil, reason.New(reason.MaxHits, "The package would be too large.")
	}
	return sealed, nil
}

// stamp has a digest confirmed.
func (x *Executor) stamp(ctx context.Context, digest [32]byte) ([]byte, error) {
	token, err := x.cfg.Packing.Stamper.Stamp(ctx, digest)
	if err != nil {
		x.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "time-stamping authority did not confirm", slog.String("error", err.Error()))
		return nil, reason.Wrap(reason.TimestampUnavailable, err)
	}
	return token, nil
}

// stampReceipt has the checkpoint of a receipt confirmed, and says what came of it.
func (x *Executor) stampReceipt(ctx context.Context, checkpoint string) (state string, token []byte, err error) {
	if x.cfg.Packing.Stamper == nil {
		return disclosure.TimestampNone, nil, nil
	}
	token, err = x.stamp(ctx, sha256.Sum256([]byte(checkpoint)))
	switch {
	case err == nil:
		return disclosure.TimestampToken, token, nil
	case x.cfg.Packing.StampOptional:
		return disclosure.TimestampMissed, nil, nil
	}
	return "", nil, err
}

// countryOf is the authority's country, if the registry has the authority; else the
// first part of its id, where that is one, or the provider's own.
func (x *Executor) countryOf(authority string) string {
	if x.cfg.Rules.Authorities != nil {
		if a, ok := x.cfg.Rules.Authorities(authority); ok {
			return a.Country
		}
	}
	if len(authority) > 3 && authority[2] == '-' && slices.Contains(warrant.MemberStates, authority[:2]) {
		return authority[:2]
	}
	return x.country()
}
