package authorityrpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/authority"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

func recordOf(m *griffierv1.AuthorityRecord) authority.Record {
	r := authority.Record{ID: m.GetId(), Name: m.GetName(), Country: m.GetCountry(), Offices: m.GetOffices(), Bases: m.GetBases(), CallBack: m.GetCallBack()}
	for _, c := range m.GetCategories() {
		r.Categories = append(r.Categories, warrantrpc.Category(c))
	}
	return r
}

func recordMessage(r authority.Record) *griffierv1.AuthorityRecord {
	m := &griffierv1.AuthorityRecord{Id: r.ID, Name: r.Name, Country: r.Country, Offices: r.Offices, Bases: r.Bases, CallBack: r.CallBack}
	for _, c := range r.Categories {
		m.Categories = append(m.Categories, categoryMessage(c))
	}
	return m
}

func categoryMessage(c warrant.Category) griffierv1.Category {
	return griffierv1.Category(griffierv1.Category_value["CATEGORY_"+string(c)])
}

func proposalMessage(p authority.Proposal) *griffierv1.AuthorityProposal {
	return &griffierv1.AuthorityProposal{ProposalId: p.ID, Record: recordMessage(p.Record), Sha256: p.Record.Hash(), BaseGeneration: p.BaseGeneration,
		ProposedBy: p.By, ProposedAt: stamp(p.At), ExpiresAt: stamp(p.At.Add(authority.ProposalAge))}
}

// message is an authority without what is sealed.
func message(a authority.Authority, now time.Time) *griffierv1.Authority {
	m := &griffierv1.Authority{Record: recordMessage(a.Record), Generation: a.Generation, ApprovedBy: a.ApprovedBy, ApprovedAt: stamp(a.ApprovedAt), RetiredAt: stamp(a.RetiredAt)}
	for _, k := range a.Keys {
		key := &griffierv1.AuthorityKey{Fingerprint: k.Fingerprint, Kind: string(k.Kind), Confirmed: k.Confirmed(now), AddedBy: k.AddedBy, AddedAt: stamp(k.AddedAt),
			ConfirmedBy: k.ConfirmedBy, ConfirmedAt: stamp(k.ConfirmedAt), RevokedAt: stamp(k.RevokedAt), NotAfter: stamp(k.NotAfter)}
		if k.Kind == authority.X509 {
			key.Recipient = "sha256:" + k.Fingerprint
		}
		m.Keys = append(m.Keys, key)
	}
	return m
}

// whole is an authority with what is sealed, as far as it was not destroyed.
func (s *Service) whole(ctx context.Context, id string) (*griffierv1.Authority, error) {
	a, ok := s.cfg.Registry.Authority(id)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	m := message(a, s.cfg.Now())
	var b authority.ContactBody
	switch err := readBody(ctx, s.cfg.Book, a.Index, &b); {
	case err == nil:
		m.Contact = &griffierv1.AuthorityContact{Name: b.Contact.Name, Email: b.Contact.Email}
	case !errors.Is(err, keystore.ErrShredded):
		return nil, err
	}
	for i, k := range a.Keys {
		if k.Kind != authority.Age {
			continue
		}
		switch key, err := readKey(ctx, s.cfg.Book, k); {
		case err == nil:
			m.Keys[i].Recipient = key.Recipient()
		case reason.Of(err) != reason.AuthorityNotEntitled:
			return nil, err
		}
	}
	return m, nil
}

// stamp is absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
