package intakerpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// maxUploads is how many documents are taken in at once: each is held in memory
// until its type is known and a scanner has seen it.
const maxUploads = 4

// maxReadings is how many letters are read at once: the longest take a second each.
const maxReadings = 2

// chunkBytes bounds the data of one message.
const chunkBytes = 512 << 10

// Config holds what a [Service] needs.
type Config struct {
	Book      warrantrpc.Book
	State     *warrant.State // a fold of Book
	Rules     *warrant.Rules
	Documents *document.Keeper
	Now       func() time.Time
}

// Service implements IntakeService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedIntakeServiceServer
	cfg               Config
	uploads, readings chan struct{}
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	return &Service{cfg: cfg, uploads: make(chan struct{}, maxUploads), readings: make(chan struct{}, maxReadings)}
}

// UploadDocument implements IntakeService.
func (s *Service) UploadDocument(stream grpc.ClientStreamingServer[griffierv1.UploadDocumentRequest, griffierv1.Document]) error {
	ctx := stream.Context()
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return err
	}
	head, err := stream.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return reason.New(reason.InvalidRequest, "Nothing was sent.")
		}
		return err
	}
	requestID, err := warrantrpc.RequestID(by, "UploadDocument", head.GetRequestId())
	if err != nil {
		return err
	}
	if _, refusal := s.cfg.Rules.MayStoreDocument(s.cfg.State, s.cfg.Now(), by, head.GetWarrantId()); refusal != nil {
		return refusal
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		return reason.New(reason.RateLimited, "Other documents are being taken in.")
	}
	data, err := receive(head, stream)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); head.GetSha256() != "" && head.GetSha256() != hex.EncodeToString(sum[:]) {
		return reason.New(reason.DocumentRefused, "It does not have the hash that its sender stated: it was damaged on the way.")
	}
	d, err := s.cfg.Documents.Put(ctx, by, requestID, head.GetWarrantId(), head.GetContentType(), data)
	if err != nil {
		return err
	}
	m, err := s.documentMessage(ctx, d)
	if err != nil {
		return err
	}
	return stream.SendAndClose(m)
}

// receive reads the rest of a document, up to its limit.
func receive(head *griffierv1.UploadDocumentRequest, stream grpc.ClientStreamingServer[griffierv1.UploadDocumentRequest, griffierv1.Document]) ([]byte, error) {
	data := head.GetData()
	part := head
	for {
		if len(part.GetData()) > chunkBytes {
			return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "data", Description: "is longer than 512 KiB in one message"})
		}
		if len(data) > warrant.MaxDocumentBytes {
			return nil, reason.New(reason.DocumentRefused, "It is longer than 16 MiB.")
		}
		var err error
		if part, err = stream.Recv(); errors.Is(err, io.EOF) {
			return data, nil
		} else if err != nil {
			return nil, err
		}
		if part.GetRequestId()+part.GetWarrantId()+part.GetContentType()+part.GetSha256() != "" {
			return nil, reason.New(reason.InvalidRequest, "Only the first message has a header.")
		}
		data = append(data, part.GetData()...)
	}
}

// ListDocuments implements IntakeService.
func (s *Service) ListDocuments(ctx context.Context, req *griffierv1.ListDocumentsRequest) (*griffierv1.ListDocumentsResponse, error) {
	if _, err := warrantrpc.Sees(ctx, s.cfg.State, s.cfg.Rules, s.cfg.Now(), req.GetWarrantId()); err != nil {
		return nil, err
	}
	res := &griffierv1.ListDocumentsResponse{}
	for _, d := range s.cfg.State.Documents(req.GetWarrantId()) {
		m, err := s.documentMessage(ctx, d)
		if err != nil {
			return nil, err
		}
		res.Documents = append(res.Documents, m)
	}
	return res, nil
}

// DownloadDocument implements IntakeService.
func (s *Service) DownloadDocument(req *griffierv1.DownloadDocumentRequest, stream grpc.ServerStreamingServer[griffierv1.DownloadDocumentResponse]) error {
	ctx := stream.Context()
	if _, err := warrantrpc.Sees(ctx, s.cfg.State, s.cfg.Rules, s.cfg.Now(), req.GetWarrantId()); err != nil {
		return err
	}
	d, ok := s.cfg.State.Document(req.GetDocumentId())
	if !ok || d.WarrantID != req.GetWarrantId() {
		return reason.New(reason.NotFound, "")
	}
	m, err := s.documentMessage(ctx, d)
	if err != nil {
		return err
	}
	if err := stream.Send(&griffierv1.DownloadDocumentResponse{Document: m}); err != nil {
		return err
	}
	_, err = s.cfg.Documents.Get(req.GetWarrantId(), d.ID, func(chunk []byte) error {
		return stream.Send(&griffierv1.DownloadDocumentResponse{Data: chunk})
	})
	return err
}

// documentMessage returns what is known of a document; its hash is in the sealed
// body, and gone with the dossier.
func (s *Service) documentMessage(ctx context.Context, d warrant.Document) (*griffierv1.Document, error) {
	m := &griffierv1.Document{DocumentId: d.ID, WarrantId: d.WarrantID, ContentType: string(d.Type), Bytes: d.Bytes, Scan: string(d.Scan),
		StoredAt: timestamppb.New(d.StoredAt), StoredBy: d.StoredBy, LedgerIndex: d.Index}
	seen, err := warrantrpc.Seen(ctx, s.cfg.State)
	if err != nil {
		return nil, err
	}
	m.ReplayOf = slices.DeleteFunc(slices.Clone(d.ReplayOf), func(id string) bool { return !seen(id) }) // the alert stays, the id is another team's
	if len(d.ReplayOf) > 0 {
		m.Alert = string(reason.DocumentReplayed)
	}
	if w, ok := s.cfg.State.Warrant(d.WarrantID); ok {
		m.OfContent = w.DocumentKey == d.Key
	}
	var b warrant.DocumentBody
	switch err := warrantrpc.Body(ctx, s.cfg.Book, d.Index, &b); {
	case reason.Of(err) == reason.NotFound: // the dossier was destroyed
	case err != nil:
		return nil, err
	default:
		m.Sha256 = b.SHA256
	}
	return m, nil
}

// ConfirmTask implements IntakeService.
func (s *Service) ConfirmTask(ctx context.Context, req *griffierv1.ConfirmTaskRequest) (*griffierv1.ConfirmTaskResponse, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	requestID, err := warrantrpc.RequestID(by, "ConfirmTask", req.GetRequestId())
	if err != nil {
		return nil, err
	}
	t, w, ok := s.cfg.State.Task(req.GetTaskId())
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	if _, err := warrantrpc.Sees(ctx, s.cfg.State, s.cfg.Rules, s.cfg.Now(), w.ID); err != nil {
		return nil, err
	}
	content, err := warrantrpc.Content(ctx, s.cfg.Book, w)
	if err != nil {
		return nil, err
	}
	question, err := warrantrpc.Question(ctx, s.cfg.Book, t)
	if err != nil {
		return nil, err
	}
	confirm := warrant.ConfirmRequest{TaskID: t.ID, Generation: req.GetExpectedGeneration(), Category: warrantrpc.Category(req.GetCategory()),
		Target: req.GetTarget(), Instant: req.GetInstant(), WindowEnd: req.GetWindowEnd(), UncertaintySeconds: req.GetUncertaintySeconds(),
		Port: req.GetPort(), Protocol: uint32(req.GetProtocol()), MaxSubjects: req.GetMaxSubjects(), MaxRecords: req.GetMaxRecords(),
		FromHold: req.GetFromHold(), HoldDays: req.GetHoldDays(), YearConfirmed: req.GetYearConfirmed()}
	e, err := warrantrpc.Decide(ctx, s.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) {
		return s.cfg.Rules.ConfirmTask(s.cfg.State, now, by, confirm, question, content)
	})
	if err != nil {
		return nil, err
	}
	if e.Header.Kind != warrant.KindTaskConfirm || e.Header.TaskID != t.ID {
		return nil, warrantrpc.ErrReused()
	}
	t, _, _ = s.cfg.State.Task(t.ID)
	if t.ConfirmedIndex != e.Index { // an edit of the warrant came since
		return nil, reason.New(reason.GenerationMismatch, "")
	}
	return &griffierv1.ConfirmTaskResponse{TaskId: t.ID, ConfirmedAt: timestamppb.New(t.ConfirmedAt), ConfirmedBy: t.ConfirmedBy, LedgerIndex: t.ConfirmedIndex}, nil
}

// KindLetter and KindForm are the entries that a text was read for somebody. They
// change no state.
const (
	KindLetter = "intake.letter"
	KindForm   = "intake.epoc"
)

// readFacts tell nothing of what was in it.
type readFacts struct {
	Bytes    int `json:"bytes"`
	Findings int `json:"findings"`
}

// enter enters that a text was read, before what was found leaves.
func (s *Service) enter(ctx context.Context, method, kind, clientID string, size, findings int) error {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return err
	}
	requestID, err := warrantrpc.RequestID(by, method, clientID)
	if err != nil {
		return err
	}
	e, err := warrantrpc.Decide(ctx, s.cfg.Book, requestID, func(time.Time) (ledger.Draft, *reason.Error) {
		if !by.Has(warrant.LegalOfficer) {
			return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
		}
		return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(warrant.LegalOfficer), Facts: readFacts{size, findings}}, nil
	})
	if err != nil {
		return err
	}
	var f readFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil || e.Header.Kind != kind || f.Bytes != size {
		return warrantrpc.ErrReused()
	}
	return nil
}
