// Package ledgerrpc serves the ledger to the overseer: LedgerService over the
// log of package ledger. Who may call, and that reading is itself entered in the
// ledger, is the interceptor's part (access rules in ledger.proto).
package ledgerrpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

const (
	defaultLimit = 100
	maxLimit     = 1000

	cosignWait = 5 * time.Second // of an export, for the witnesses
)

// Service implements LedgerService. Its methods are safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedLedgerServiceServer
	log     *ledger.Log
	watched Watched
	own     func(c auth.Caller, warrantID string) bool
}

// NewService serves the log; watched tells who else has it. own reports whether a
// warrant is one that a caller works on: of other entries nobody but the overseer has
// the leaf, which has its whole clear header.
func NewService(log *ledger.Log, watched Watched, own func(c auth.Caller, warrantID string) bool) *Service {
	return &Service{log: log, watched: watched, own: own}
}

// ListEntries gives entries in the order of the log, from start on, that match
// the filters. The list is complete up to next_start, where a caller goes on; 0
// there means that it is complete.
// Reasons: INVALID_REQUEST, INTERNAL.
func (s *Service) ListEntries(ctx context.Context, req *griffierv1.ListEntriesRequest) (*griffierv1.ListEntriesResponse, error) {
	limit := int(req.GetLimit())
	switch {
	case limit == 0:
		limit = defaultLimit
	case limit < 0 || limit > maxLimit:
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{
			Field: "limit", Description: fmt.Sprintf("is 0 to %d", maxLimit)})
	}
	res := &griffierv1.ListEntriesResponse{Size: s.log.Size()}
	q, err := s.newSearch(ctx, req, res.Size)
	if err != nil {
		return nil, err
	}
	res.NextStart, err = s.each(ctx, q, scanned, func(e ledger.Entry) (bool, error) {
		out, err := s.entry(e, req.GetWithBodies())
		if err != nil {
			return false, err
		}
		res.Entries = append(res.Entries, out)
		return len(res.Entries) < limit, nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// ExportEntries gives every entry that matches, with its proof, against one
// checkpoint: a cosigned one if there is one that covers what there is. It
// decrypts nothing.
// Reasons: INVALID_REQUEST, INTERNAL.
func (s *Service) ExportEntries(req *griffierv1.ExportEntriesRequest, out griffierv1.LedgerService_ExportEntriesServer) error {
	ctx := out.Context()
	filter := req.GetFilter()
	if filter == nil {
		filter = &griffierv1.ListEntriesRequest{}
	}
	size := s.log.Size()
	if s.watched.Witnesses != nil { // better with their signatures; without them if they do not answer
		wait, cancel := context.WithTimeout(ctx, cosignWait)
		defer cancel()
		_ = s.watched.Witnesses.Await(wait, size)
	}
	prover, err := s.log.Prover(ctx, size)
	if err != nil {
		return failure(err)
	}
	q, err := s.newSearch(ctx, filter, prover.Size())
	if err != nil {
		return err
	}
	_, err = s.each(ctx, q, prover.Size()+1, func(e ledger.Entry) (bool, error) {
		p, err := prover.ProveEntry(ctx, e)
		if err != nil {
			return false, failure(err)
		}
		return true, out.Send(&griffierv1.ExportEntriesResponse{
			Index: p.Index, Leaf: p.Leaf, Hashes: p.Hashes, Checkpoint: p.Checkpoint, Cosignatures: p.Cosignatures})
	})
	return err
}

// entry gives the transport form. A body is decrypted only on request; that its
// key was destroyed is told only then, too.
func (s *Service) entry(e ledger.Entry, withBody bool) (*griffierv1.LedgerEntry, error) {
	leaf, err := e.LeafHash()
	if err != nil {
		return nil, failure(err)
	}
	h := e.Header
	out := &griffierv1.LedgerEntry{
		Index: e.Index, Kind: h.Kind, At: timestamppb.New(h.At), Actor: h.Actor, Role: h.Role,
		WarrantId: h.WarrantID, TaskId: h.TaskID, Generation: h.Generation, Reason: h.Reason,
		FactsJson: string(h.Facts), LeafSha256: hex.EncodeToString(leaf),
	}
	if !withBody {
		return out, nil
	}
	body, err := s.log.Body(e)
	switch {
	case errors.Is(err, keystore.ErrShredded):
		out.BodyDestroyed = true
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, keystore.ErrSealed):
		out.BodyUnreadable = true // one lost key does not hide the rest of the log
	case err != nil:
		return nil, failure(err)
	default:
		out.BodyJson = string(body)
	}
	return out, nil
}

// GetProof proves an entry against the checkpoint that it gives along.
// Reasons: NOT_FOUND, INTERNAL.
func (s *Service) GetProof(ctx context.Context, req *griffierv1.GetProofRequest) (*griffierv1.GetProofResponse, error) {
	if err := s.mayProve(ctx, req.GetIndex()); err != nil {
		return nil, err
	}
	p, err := s.log.Proof(ctx, req.GetIndex())
	if err != nil {
		return nil, failure(err)
	}
	return &griffierv1.GetProofResponse{Checkpoint: p.Checkpoint, Hashes: p.Hashes, Leaf: p.Leaf, Cosignatures: p.Cosignatures}, nil
}

// mayProve refuses, as if there were none, an entry that is not of a warrant that the
// caller works on. The overseer may have any.
func (s *Service) mayProve(ctx context.Context, index uint64) error {
	c, ok := auth.FromContext(ctx)
	if !ok {
		return reason.New(reason.Unauthenticated, "")
	}
	if c.Has(griffierv1.Role_ROLE_OVERSEER) {
		return nil
	}
	if index >= s.log.Size() {
		return reason.New(reason.NotFound, "")
	}
	entries, err := s.log.Read(ctx, index, 1)
	if err != nil {
		return failure(err)
	}
	if len(entries) != 1 || !s.own(c, entries[0].Header.WarrantID) {
		return reason.New(reason.NotFound, "")
	}
	return nil
}

// GetCheckpoint gives the signed checkpoint over all acknowledged entries.
func (s *Service) GetCheckpoint(context.Context, *griffierv1.GetCheckpointRequest) (*griffierv1.GetCheckpointResponse, error) {
	return &griffierv1.GetCheckpointResponse{Checkpoint: s.log.Checkpoint()}, nil
}

// failure gives an error of the ledger its reason; an ended context stays one.
func failure(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, ledger.ErrNotFound):
		return reason.Wrap(reason.NotFound, err)
	default:
		return reason.Wrap(reason.Internal, err)
	}
}
