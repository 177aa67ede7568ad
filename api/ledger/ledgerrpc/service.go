// Package ledgerrpc serves the ledger to the overseer: LedgerService over the
// log of package ledger. Who may call, and that reading is itself entered in the
// ledger, is the interceptor's part (access rules in ledger.proto).
package ledgerrpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Service implements LedgerService. Its methods are safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedLedgerServiceServer
	log *ledger.Log
}

// NewService serves the log.
func NewService(log *ledger.Log) *Service { return &Service{log: log} }

// ListEntries gives entries in the order of the log, from start on, that match
// the filters. The list is complete up to its last index; a list shorter than
// the limit reached the end. A caller goes on from the last index plus one.
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
	for next := req.GetStart(); next < res.Size && len(res.Entries) < limit; {
		entries, err := s.log.Read(ctx, next, ledger.MaxRead)
		if err != nil {
			return nil, failure(err)
		}
		for _, e := range entries {
			if len(res.Entries) == limit || e.Index >= res.Size {
				break
			}
			if matches(req, e.Header) {
				out, err := s.entry(e, req.GetWithBodies())
				if err != nil {
					return nil, err
				}
				res.Entries = append(res.Entries, out)
			}
		}
		next += uint64(len(entries))
	}
	return res, nil
}

func matches(req *griffierv1.ListEntriesRequest, h ledger.Header) bool {
	return (req.GetKind() == "" || req.GetKind() == h.Kind) &&
		(req.GetWarrantId() == "" || req.GetWarrantId() == h.WarrantID)
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
	p, err := s.log.Proof(ctx, req.GetIndex())
	if err != nil {
		return nil, failure(err)
	}
	return &griffierv1.GetProofResponse{Checkpoint: p.Checkpoint, Hashes: p.Hashes, Leaf: p.Leaf}, nil
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
