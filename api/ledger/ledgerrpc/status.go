package ledgerrpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/ledger"
	"griffier/api/ledger/sink"
	"griffier/api/ledger/witness"
	griffierv1 "griffier/proto/griffier/v1"
)

// Watched tells who else has the log, and when all of it was last checked. Any
// part may be nil.
type Watched struct {
	Witnesses interface {
		Witnesses() []witness.Status
		Quorum() int
		Await(ctx context.Context, size uint64) error
	}
	Sink interface {
		Status() sink.Status
		Refuses() error
	}
	Checked interface{ Last() ledger.Check }
}

// GetLedgerStatus tells how the ledger and those who watch it are. It reads no entry.
func (s *Service) GetLedgerStatus(context.Context, *griffierv1.GetLedgerStatusRequest) (*griffierv1.GetLedgerStatusResponse, error) {
	res := &griffierv1.GetLedgerStatusResponse{Size: s.log.Size(), Newest: moment(s.log.LastAt()), Checkpoint: s.log.Checkpoint()}
	if err := s.log.Err(); err != nil {
		res.Unavailable = err.Error()
	}
	if s.watched.Witnesses != nil {
		res.Quorum = uint32(s.watched.Witnesses.Quorum())
		for _, w := range s.watched.Witnesses.Witnesses() {
			res.Witnesses = append(res.Witnesses, &griffierv1.LedgerWitness{
				Name: w.Name, PublicKey: w.PublicKey, Size: w.Size, SignedAt: moment(w.SignedAt),
				LagSeconds: int64(w.Lag.Seconds()), Alarm: w.Alarm, Error: w.Error})
		}
	}
	if s.watched.Sink != nil {
		k := s.watched.Sink.Status()
		res.Sink = &griffierv1.LedgerSink{Name: k.Name, Size: k.Size, CompleteAt: moment(k.Complete), LagSeconds: int64(k.Lag.Seconds()),
			Alarm: k.Alarm, Refusing: s.watched.Sink.Refuses() != nil, Error: k.Error}
	}
	if s.watched.Checked != nil {
		last := s.watched.Checked.Last()
		res.VerifiedAt, res.VerifiedSize = moment(last.At), last.Size
		for _, p := range last.Problems {
			res.Problems = append(res.Problems, p.String())
		}
	}
	return res, nil
}

// moment is a time, absent if it is zero.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
