package legalbasisrpc

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/legalbasis"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// versionMessage is a version, with its rows and its file where it is shown whole.
func versionMessage(v legalbasis.Version, whole bool) *griffierv1.LegalProfile {
	m := &griffierv1.LegalProfile{Generation: v.Generation, Profile: v.Name, Sha256: v.SHA256, SignedBy: v.SignedBy, Zone: v.Zone,
		OnlyRegisteredAuthorities: v.OnlyRegistered, InForceAt: stamp(v.At), LedgerIndex: v.Index, ProposalId: v.ProposalID}
	if !whole {
		return m
	}
	m.File = v.File
	for _, b := range v.Bases {
		m.Bases = append(m.Bases, basisMessage(b))
	}
	return m
}

func basisMessage(b warrant.Basis) *griffierv1.LegalBasis {
	m := &griffierv1.LegalBasis{Id: b.ID, Article: b.Article, SignedBy: b.SignedBy, Countries: b.Countries, Categories: words(b.Categories), Review: words(b.Review),
		NeedsMagistrate: b.NeedsMagistrate, FutureMonths: int32(b.FutureMonths), PaperDays: uint32(b.PaperDays), NotifiesEnforcingAuthority: b.NotifiesAuthority,
		MaxValidityDays: uint32(b.MaxValidityDays), HoldDays: uint32(b.HoldDays), ExtensionDays: uint32(b.ExtensionDays), NonExecutionHoldDays: uint32(b.NonExecutionHoldDays),
		Compels: b.Compels, Disabled: b.Disabled, Source: b.Source, Status: b.Status, Note: b.Note}
	for _, d := range b.Deadlines {
		m.Deadlines = append(m.Deadlines, &griffierv1.LegalBasisDeadline{Priority: string(d.Priority), Hours: uint32(d.Within / time.Hour)})
	}
	return m
}

func words(categories []warrant.Category) (out []string) {
	for _, c := range categories {
		out = append(out, string(c))
	}
	return out
}

func proposalMessage(p legalbasis.Proposal, now time.Time, generation uint64) *griffierv1.LegalBasisProposal {
	return &griffierv1.LegalBasisProposal{ProposalId: p.ID,
		State:  griffierv1.LegalBasisProposalState(griffierv1.LegalBasisProposalState_value["LEGAL_BASIS_PROPOSAL_STATE_"+string(p.State(now, generation))]),
		Sha256: p.SHA256, Generation: p.Profile.Generation, BaseGeneration: p.BaseGeneration, Profile: p.Name, SignedBy: p.SignedBy,
		ProposedBy: p.By, ProposedAt: stamp(p.At), ExpiresAt: stamp(p.ExpiresAt()), ApprovedBy: p.ApprovedBy, ApprovedAt: stamp(p.ApprovedAt)}
}

func changeMessage(c legalbasis.Change) *griffierv1.LegalBasisChange {
	return &griffierv1.LegalBasisChange{Basis: c.Basis, What: c.What, Now: c.Now, New: c.New,
		Effect: griffierv1.LegalBasisChange_Effect(griffierv1.LegalBasisChange_Effect_value["EFFECT_"+strings.ToUpper(string(c.Effect))])}
}

// stamp is absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
