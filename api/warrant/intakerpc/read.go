package intakerpc

import (
	"context"
	"errors"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/epoc"
	"griffier/api/warrant/letter"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// Candidates implements IntakeService.
func (s *Service) Candidates(_ context.Context, req *griffierv1.CandidatesRequest) (*griffierv1.CandidatesResponse, error) {
	r := warrant.Candidates(req.GetText(), req.GetZone())
	return &griffierv1.CandidatesResponse{Outcome: string(r.Outcome), Candidates: candidates(r.Candidates), Notes: r.Notes}, nil
}

// The zones that a reader is in.
var amsterdam, brussels = zone("Europe/Amsterdam"), zone("Europe/Brussels")

func zone(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil { // package warrant compiles time/tzdata in
		panic(err)
	}
	return loc
}

func candidates(list []warrant.Candidate) []*griffierv1.Candidate {
	var out []*griffierv1.Candidate
	for _, c := range list {
		out = append(out, &griffierv1.Candidate{Utc: c.At.UTC().Format(time.RFC3339Nano), Amsterdam: c.At.In(amsterdam).Format(time.RFC3339Nano),
			Brussels: c.At.In(brussels).Format(time.RFC3339Nano), Weekday: c.At.In(amsterdam).Weekday().String(), Meaning: c.Meaning})
	}
	return out
}

// ParseLetter implements IntakeService.
func (s *Service) ParseLetter(ctx context.Context, req *griffierv1.ParseLetterRequest) (*griffierv1.Proposal, error) {
	assumed := req.GetZone()
	if assumed == "" {
		assumed = s.cfg.Rules.Law().Zone()
	} else if _, ok := warrant.ParseZone(assumed); !ok {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "zone", Description: "is not known, or means several"})
	}
	select {
	case s.readings <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p, err := letter.Parse(req.GetText(), assumed)
	<-s.readings
	switch {
	case errors.Is(err, letter.ErrTooLong):
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "text", Description: "is too long, or a line of it is"})
	case err != nil:
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "text", Description: "is not UTF-8 text"})
	}
	if err := s.enter(ctx, "ParseLetter", KindLetter, req.GetRequestId(), len(req.GetText()), len(p.Findings)); err != nil {
		return nil, err
	}
	m := &griffierv1.Proposal{Draft: warrantrpc.ContentMessage(p.Draft), Cut: p.Cut}
	for _, f := range p.Findings {
		m.Findings = append(m.Findings, &griffierv1.Finding{Kind: string(f.Kind), Line: uint32(f.Line), Column: uint32(f.Column), Source: f.Source, Text: f.Text,
			Value: f.Value, Options: f.Options, Outcome: string(f.Outcome), Candidates: candidates(f.Candidates), Notes: f.Notes})
	}
	for _, q := range p.Open {
		m.Open = append(m.Open, &griffierv1.OpenField{Field: q.Field, Why: q.Why})
	}
	return m, nil
}

// ReadEPOC implements IntakeService.
func (s *Service) ReadEPOC(ctx context.Context, req *griffierv1.ReadEPOCRequest) (*griffierv1.Proposal, error) {
	form, err := epoc.Parse(req.GetForm())
	if err != nil {
		return nil, &reason.Error{Reason: reason.InvalidRequest, Violations: []reason.Violation{{Field: "form", Description: err.Error()}}}
	}
	content, refusal := form.Content()
	if err := s.enter(ctx, "ReadEPOC", KindForm, req.GetRequestId(), len(req.GetForm()), len(form.Identifiers)); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	m := &griffierv1.Proposal{Draft: warrantrpc.ContentMessage(content)}
	for _, q := range form.Open() {
		m.Open = append(m.Open, &griffierv1.OpenField{Field: q.Field, Why: q.Why})
	}
	return m, nil
}
