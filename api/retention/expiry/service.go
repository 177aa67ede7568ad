package expiry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

const (
	defaultCertificates = 100
	maxCertificates     = 1000
)

// Service implements ExpiryService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedExpiryServiceServer
	v *Verifier
}

// NewService returns the service of a verifier.
func NewService(v *Verifier) *Service { return &Service{v: v} }

// VerifyExpiry implements ExpiryService. Reasons: STORE_UNAVAILABLE, and those of
// the ledger.
func (s *Service) VerifyExpiry(req *griffierv1.VerifyExpiryRequest, stream grpc.ServerStreamingServer[griffierv1.VerifyExpiryResponse]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), proofLimit)
	defer cancel()
	p, err := s.v.Verify(ctx, Options{Whole: req.GetWhole(), Progress: func(place string, class schema.Class, done, total int) {
		// A caller who went away ends the context, which ends the proof.
		_ = stream.Send(&griffierv1.VerifyExpiryResponse{Done: uint32(done), Total: uint32(total), Place: place, Class: string(class)})
	}})
	if err != nil {
		return failure(ctx, err)
	}
	return stream.Send(&griffierv1.VerifyExpiryResponse{Proof: proofMessage(p)})
}

// ReportExpiry implements ExpiryService. Reasons: STORE_UNAVAILABLE.
func (s *Service) ReportExpiry(ctx context.Context, _ *griffierv1.ReportExpiryRequest) (*griffierv1.ReportExpiryResponse, error) {
	classes, err := s.v.Report(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	out := &griffierv1.ReportExpiryResponse{}
	for _, c := range classes {
		m := &griffierv1.ClassExpiry{
			Class: string(c.Class), ReadableFrom: stamp(c.ReadableFrom), OldestRow: stamp(c.OldestRow), NextDrop: stamp(c.NextDrop),
			Days: uint32(c.Days), Rows: c.Rows, Bytes: c.Bytes, HeldRows: c.HeldRows,
		}
		if c.Present {
			m.Period, m.Zone, m.Purpose = c.Policy.Period, c.Policy.Zone, c.Policy.Purpose
		}
		if c.Proof != nil {
			m.LastVerdict, m.LastProofAt = verdictMessage(c.Proof.Classes[c.Class]), stamp(c.Proof.At)
		}
		if c.Certificate != nil {
			m.LastCertificate = certificateMessage(*c.Certificate)
		}
		out.Classes = append(out.Classes, m)
	}
	return out, nil
}

// ListCertificates implements ExpiryService. Reasons: INVALID_REQUEST.
func (s *Service) ListCertificates(_ context.Context, req *griffierv1.ListCertificatesRequest) (*griffierv1.ListCertificatesResponse, error) {
	limit, class := req.GetLimit(), schema.Class(req.GetClass())
	if limit == 0 {
		limit = defaultCertificates
	}
	if limit > maxCertificates {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "limit", Description: fmt.Sprintf("is 0 to %d", maxCertificates)})
	}
	if class != "" && !slices.Contains(schema.Classes, class) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "class", Description: fmt.Sprintf("is one of %v, or empty", schema.Classes)})
	}
	out := &griffierv1.ListCertificatesResponse{}
	for _, c := range s.v.Record.Certificates(class, int(limit)) {
		out.Certificates = append(out.Certificates, certificateMessage(c))
	}
	return out, nil
}

// failure gives an error its reason; an ended context stays one.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if reason.Of(err) != "" {
		return err
	}
	return reason.Wrap(reason.StoreUnavailable, err)
}

func proofMessage(p Proof) *griffierv1.ExpiryProof {
	m := &griffierv1.ExpiryProof{
		LedgerIndex: p.Index, At: stamp(p.At), Verdict: verdictMessage(p.Verdict), Passed: uint32(p.Passed), Failed: uint32(p.Failed),
		NotChecked: uint32(p.NotChecked), Exceptions: uint32(p.Exceptions), TookMillis: uint64(p.TookMillis), PolicySha256: p.PolicySHA256,
	}
	for _, f := range p.Findings {
		m.Findings = append(m.Findings, &griffierv1.ExpiryFinding{
			Class: string(f.Class), Place: f.Place, Verdict: verdictMessage(f.Verdict), Checked: f.Checked, Unit: f.Unit,
			Oldest: stamp(f.Oldest), Limit: stamp(f.Limit), Detail: f.Detail, Cure: f.Cure,
		})
	}
	return m
}

func certificateMessage(c Certificate) *griffierv1.ExpiryCertificate {
	return &griffierv1.ExpiryCertificate{
		LedgerIndex: c.Index, At: stamp(c.At), IntentIndex: c.Intent, Class: string(c.Class), From: stamp(c.From), Until: stamp(c.Until),
		Outcome: string(c.Outcome), Rows: c.Rows, Bytes: c.Bytes, PartsBeforeSha256: c.PartsBefore, PartsAfterSha256: c.PartsAfter,
		RowsAfter: c.RowsAfter, PolicyGeneration: c.PolicyGeneration, PolicySha256: c.PolicySHA256,
	}
}

func verdictMessage(v Verdict) griffierv1.ExpiryVerdict {
	switch v {
	case Pass:
		return griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS
	case Fail:
		return griffierv1.ExpiryVerdict_EXPIRY_VERDICT_FAIL
	case NotChecked:
		return griffierv1.ExpiryVerdict_EXPIRY_VERDICT_NOT_CHECKED
	case Exception:
		return griffierv1.ExpiryVerdict_EXPIRY_VERDICT_EXCEPTION
	}
	return griffierv1.ExpiryVerdict_EXPIRY_VERDICT_UNSPECIFIED
}

// stamp leaves a zero time out.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
