package retentionrpc

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/retention"
	griffierv1 "griffier/proto/griffier/v1"
)

func policyMessage(f retention.InForce) *griffierv1.RetentionPolicy {
	return &griffierv1.RetentionPolicy{
		Generation: f.Generation, Sha256: f.SHA256, Jurisdiction: f.Jurisdiction, SignedBy: f.SignedBy, Rules: ruleMessages(f.File),
		InForceAt: timestamppb.New(f.At), LedgerIndex: f.Index, ProposalId: f.ProposalID,
	}
}

func ruleMessages(f retention.File) (out []*griffierv1.RetentionRule) {
	for _, r := range f.Rules {
		out = append(out, &griffierv1.RetentionRule{
			Class: string(r.Class), Period: r.Period, Zone: r.Zone, Purpose: r.Purpose, Basis: r.Basis, Source: r.Source,
			Status: r.Status, Maximum: retention.Maximum(f.Jurisdiction, r.Class),
		})
	}
	return out
}

func proposalMessage(p retention.Proposal, now time.Time, generation uint64) *griffierv1.RetentionProposal {
	m := &griffierv1.RetentionProposal{
		ProposalId: p.ID, Generation: p.Stage, State: proposalState(p.State(now, generation)), Sha256: p.SHA256,
		PolicyGeneration: p.File.Generation, BaseGeneration: p.BaseGeneration, ProposedBy: p.By, ProposedAt: stamp(p.At),
		Advice: adviceMessage(p.Advice), AdvisedBy: p.AdvisedBy, AdvisedAt: stamp(p.AdvisedAt),
		ApprovedBy: p.ApprovedBy, ApprovedAt: stamp(p.ApprovedAt), ExpiresAt: stamp(p.ExpiresAt()), Rules: ruleMessages(p.File),
	}
	for _, c := range p.Lengthens {
		m.Lengthens = append(m.Lengthens, string(c))
	}
	return m
}

func proposalState(s retention.ProposalState) griffierv1.RetentionProposalState {
	return griffierv1.RetentionProposalState(griffierv1.RetentionProposalState_value["RETENTION_PROPOSAL_STATE_"+string(s)])
}

func adviceMessage(a retention.Advice) griffierv1.RetentionAdvice {
	for m, advice := range advices {
		if advice == a {
			return m
		}
	}
	return griffierv1.RetentionAdvice_RETENTION_ADVICE_UNSPECIFIED
}

func changeMessage(c retention.Change) *griffierv1.RetentionChange {
	return &griffierv1.RetentionChange{
		Class:     string(c.Class),
		Effect:    griffierv1.RetentionChange_Effect(griffierv1.RetentionChange_Effect_value["EFFECT_"+strings.ToUpper(string(c.Effect))]),
		PeriodNow: c.Was.Period, PeriodNew: c.New.Period, ZoneNow: c.Was.Zone, ZoneNew: c.New.Zone, Stored: c.Stored,
		Rows: c.Rows, RowsUnreadable: c.RowsUnreadable, BytesUnreadable: c.BytesUnreadable,
		OldestRow: stamp(c.OldestRow), FirstDrop: stamp(c.FirstDrop),
	}
}

// stamp is absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
