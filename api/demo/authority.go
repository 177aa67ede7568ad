package demo

import (
	"context"

	"github.com/google/uuid"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// The authority of the story, and the number on which it is called back.
const (
	demoAuthority = "NL-POLICE"
	demoNumber    = "+31889662222"
)

// registerAuthority has an authority proposed and approved by two people, and its key
// added by one and confirmed by another.
func (d *demo) registerAuthority(ctx context.Context, recipient string) error {
	as := map[string]context.Context{}
	for _, who := range []string{"olga", "arjan", "petra"} {
		c, err := d.idp.as(ctx, who)
		if err != nil {
			return err
		}
		as[who] = c
	}
	client := griffierv1.NewAuthorityServiceClient(d.people)
	p, err := client.ProposeAuthority(as["olga"], &griffierv1.ProposeAuthorityRequest{RequestId: uuid.NewString(), Record: &griffierv1.AuthorityRecord{
		Id: demoAuthority, Name: "Police, national unit", Country: "NL", Offices: []string{"investigating-officer"}, Bases: []string{"NL-126na"},
		Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_IDENTITY, griffierv1.Category_CATEGORY_ATTRIBUTION}, CallBack: demoNumber},
		Contact: &griffierv1.AuthorityContact{Name: "the desk"}})
	if err != nil {
		return err
	}
	a, err := client.ApproveAuthority(as["petra"], &griffierv1.ApproveAuthorityRequest{RequestId: uuid.NewString(), ProposalId: p.GetProposalId(), Sha256: p.GetSha256()})
	if err != nil {
		return err
	}
	a, err = client.AddAuthorityKey(as["olga"], &griffierv1.AddAuthorityKeyRequest{RequestId: uuid.NewString(), Id: demoAuthority, ExpectedGeneration: a.GetGeneration(), Key: recipient})
	if err != nil {
		return err
	}
	confirm := &griffierv1.ConfirmAuthorityKeyRequest{RequestId: uuid.NewString(), Id: demoAuthority, ExpectedGeneration: a.GetGeneration(),
		Fingerprint: a.GetKeys()[0].GetFingerprint(), Number: demoNumber, SpokeWith: "the desk"}
	_, err = client.ConfirmAuthorityKey(as["olga"], confirm)
	if err := d.refused("whoever entered the authority's key confirms it too", err, reason.SelfApproval); err != nil {
		return err
	}
	if _, err := client.ConfirmAuthorityKey(as["arjan"], confirm); err != nil {
		return err
	}
	d.say("Olga proposed %s, Petra approved it. Olga added its key %s…; Arjan called and compared it.", demoAuthority, confirm.GetFingerprint()[:16])
	return nil
}
