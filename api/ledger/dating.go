package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// datingTolerance is how far an entry's time may be from what a witness's clock
// allows: the two clocks, and the way to the witness and back.
const datingTolerance = 5 * time.Minute

// cosignedOf gives the cosigned checkpoint that an entry of KindVerified has.
func cosignedOf(e Entry) []Cosigned {
	var facts struct {
		Cosigned *Cosigned `json:"cosigned"`
	}
	if json.Unmarshal(e.Header.Facts, &facts) != nil || facts.Cosigned == nil {
		return nil
	}
	return []Cosigned{*facts.Cosigned}
}

// cosignatures checks everything that witnesses signed: that the log begins with
// what they saw, and that it has the times that they allow. What a witness signed
// at some time over n entries says that entry n-1 was there by then, and that
// entry n was not.
func (v *verification) cosignatures(size uint64) error {
	if len(v.cfg.WitnessKeys) == 0 {
		return nil
	}
	for _, c := range append(append([]Cosigned(nil), v.cosigned...), v.cfg.Cosigned...) {
		const where = "cosigned checkpoint"
		h, err := OpenCheckpoint(c.Checkpoint, v.cfg.PublicKey)
		if err != nil {
			v.in.problem(where, "%v", err)
			continue
		}
		signed, err := c.Cosigners(v.cfg.WitnessKeys...)
		if err != nil {
			v.in.problem(where, "over %d entries: %v", h.Size, err)
			continue
		}
		if len(signed) == 0 {
			continue // by a witness whose key was not given
		}
		if h.Size > size {
			v.in.problem(where, "%s signed one over %d entries, the log has %d: entries were removed", signed[0].Witness, h.Size, size)
			continue
		}
		tree, err := rangeAt(v.cfg.Dir, v.in.state.size, h.Size)
		if err != nil {
			return err
		}
		root, err := rootOf(tree)
		if err != nil {
			return err
		}
		if !bytes.Equal(root, h.Root) {
			v.in.problem(where, "the log's first %d entries are not those that %s signed", h.Size, signed[0].Witness)
			continue
		}
		v.report.Cosigned++
		if len(v.in.found.problems) > 0 {
			continue // entries that cannot be read have no times
		}
		for _, s := range signed {
			v.date(h.Size, s)
		}
	}
	return nil
}

// date holds the entries on both sides of a cosigned checkpoint against its time.
func (v *verification) date(size uint64, s Cosignature) {
	doubt := func(index uint64, format string, args ...any) {
		if len(v.report.Doubts) < maxProblems {
			v.report.Doubts = append(v.report.Doubts, Problem{Where: "times", Entry: &index, What: fmt.Sprintf(format, args...)})
		}
	}
	if size > 0 && size <= uint64(len(v.times)) {
		if at := time.Unix(0, v.times[size-1]).UTC(); at.After(s.At.Add(datingTolerance)) {
			doubt(size-1, "says %s, and %s saw it at %s already", at.Format(time.RFC3339), s.Witness, s.At.Format(time.RFC3339))
		}
	}
	if size < uint64(len(v.times)) {
		if at := time.Unix(0, v.times[size]).UTC(); at.Before(s.At.Add(-datingTolerance)) {
			doubt(size, "says %s, and %s saw a log without it at %s: it was back-dated", at.Format(time.RFC3339), s.Witness, s.At.Format(time.RFC3339))
		}
	}
}
