package expiry

import (
	"context"
	"fmt"
	"time"

	"griffier/schema"
)

// ClassReport is how it stands with one class.
type ClassReport struct {
	Class   schema.Class
	Policy  schema.Policy
	Present bool // false: no policy is in force for the class, and nothing of it can be read
	// ReadableFrom: nothing that ended at or before it can be read.
	ReadableFrom time.Time
	OldestRow    time.Time // ended_at of the oldest row on disk; zero without rows
	NextDrop     time.Time // of the oldest day on disk; zero without rows or policy
	Days         int       // partitions
	Rows         uint64    // as stored, superseded versions included
	Bytes        uint64    // on disk
	HeldRows     uint64    // copies under holds
	Proof        *Proof    // the last; its verdict for this class is in Classes
	Certificate  *Certificate
}

// Report tells for every class that is stored what is kept, until when, and what
// was proved and dropped last. It reads metadata of the store and its oldest day.
func (v *Verifier) Report(ctx context.Context) ([]ClassReport, error) {
	limits, err := v.limits(ctx)
	if err != nil {
		return nil, fmt.Errorf("retention report: %w", err)
	}
	stored, err := schema.Partitions(ctx, v.Conn)
	if err != nil {
		return nil, fmt.Errorf("retention report: %w", err)
	}
	held := map[schema.Class]uint64{}
	if v.Held != nil {
		if held, err = v.Held(ctx); err != nil {
			return nil, fmt.Errorf("retention report: holds: %w", err)
		}
	}
	var out []ClassReport
	for _, class := range schema.Classes {
		if !class.HasTable() {
			continue
		}
		limit := limits.Class[class]
		r := ClassReport{Class: class, Policy: limit.Policy, Present: limit.Present, ReadableFrom: limit.ReadableFrom, HeldRows: held[class]}
		for _, p := range stored {
			if p.Class != class {
				continue
			}
			if r.Days == 0 { // in the order of days
				if r.OldestRow, err = schema.OldestEnd(ctx, v.Conn, class, p.Day); err != nil {
					return nil, fmt.Errorf("retention report: %w", err)
				}
			}
			if !p.DropAt.IsZero() && (r.NextDrop.IsZero() || p.DropAt.Before(r.NextDrop)) {
				r.NextDrop = p.DropAt
			}
			r.Days++
			r.Rows += p.Rows
			r.Bytes += p.DiskBytes
		}
		if proof, ok := v.Record.LastProof(); ok {
			r.Proof = &proof
		}
		if last := v.Record.Certificates(class, 1); len(last) > 0 {
			r.Certificate = &last[0]
		}
		out = append(out, r)
	}
	return out, nil
}
