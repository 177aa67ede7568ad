package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"griffier/api/keystore"
)

// VerifyConfig says which log to verify, and against what.
type VerifyConfig struct {
	Dir         string
	PublicKey   string          // of the log, as in Key.Public: bring your own copy
	WitnessFile string          // empty leaves the comparison out, and the report says so
	Keys        *keystore.Store // nil leaves the bodies sealed
	Folds       []Fold          // fresh ones, to fold the log again; may be empty

	// WitnessKeys are public keys of witnesses. What they signed is then checked: the
	// cosigned checkpoints that the log has of itself (KindVerified), and Cosigned,
	// which is what the witnesses kept.
	WitnessKeys []string
	Cosigned    []Cosigned
}

// Report is what a verification found.
type Report struct {
	Size           uint64 // entries
	Root           []byte // Merkle root over them, computed from the entries
	CheckpointSize uint64 // entries that the published checkpoint is signed over
	Newest         time.Time

	Bodies         int // entries that have one
	BodiesOpened   int // decrypted
	BodiesShredded int // their key was destroyed
	WitnessChecked bool
	StrayFiles     int // left by a crash, and no part of the log
	Cosigned       int // checkpoints that a witness signed, and that the log extends

	Problems []Problem // at most 200; none means that everything agrees
	// Doubts are entries whose time is not what a witness's clock allows: back-dated,
	// or made while this host's clock was wrong. At most 200.
	Doubts []Problem
}

// Verified says whether everything agrees.
func (r Report) Verified() bool { return len(r.Problems) == 0 }

// Verify checks a log offline, from its files alone: each entry's form, order,
// time and body hash; the Merkle tree over the entries against every tile, the
// tree state and the signed checkpoint; the witness file; what witnesses signed;
// the bodies, with the keys; and the folds. It changes nothing and may run beside the process that
// owns the log.
//
// With problems, the error is ErrTampered or ErrWitness and names the first; the
// report has them all. Another error means that nothing was found out. Not
// covered are .state/gcState and the lock files, which say nothing about
// entries, and files that a crash left outside the log (Report.StrayFiles).
func Verify(ctx context.Context, cfg VerifyConfig) (Report, error) {
	verifier, err := Verifier(cfg.PublicKey)
	if err != nil {
		return Report{}, err
	}
	v := verification{cfg: cfg}
	in := inspector{
		dir: cfg.Dir, origin: verifier.Name(), verifiers: note.VerifierList(verifier),
		witnessPath: cfg.WitnessFile, visit: v.entry,
	}
	v.in = &in
	found, err := in.run(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("ledger: verify: %w", err)
	}
	if found.head.size == 0 && found.checkpoint.root == nil && len(found.problems) == 0 {
		return Report{}, fmt.Errorf("ledger: verify: %s holds no ledger", cfg.Dir)
	}
	if err := v.cosignatures(found.head.size); err != nil {
		return Report{}, fmt.Errorf("ledger: verify: %w", err)
	}
	r := v.report
	r.Size, r.Root, r.CheckpointSize = found.head.size, found.head.root, found.checkpoint.size
	r.StrayFiles, r.WitnessChecked = found.strays, cfg.WitnessFile != ""
	r.Problems = found.problems
	if found.witness != nil {
		r.Problems = append(r.Problems, Problem{Where: cfg.WitnessFile, What: found.witness.Error()})
	}
	switch {
	case len(found.problems) > 0:
		return r, fmt.Errorf("ledger: verify: %w: %s", ErrTampered, found.problems[0])
	case found.witness != nil:
		return r, fmt.Errorf("ledger: verify: %w", found.witness)
	}
	return r, nil
}

// verification checks the entries one by one, in order.
type verification struct {
	cfg      VerifyConfig
	in       *inspector
	report   Report
	requests map[string]uint64
	stopped  bool       // the folds: after the first entry that they miss
	times    []int64    // of all entries, in ns since 1970, when witnesses can be checked
	cosigned []Cosigned // that the log has of itself
}

// entry checks one leaf.
func (v *verification) entry(index uint64, file string, leaf []byte) {
	wrong := func(format string, args ...any) {
		v.in.add(Problem{Where: file, Entry: &index, What: fmt.Sprintf(format, args...)})
	}
	e, err := decodeEntry(index, leaf)
	if err != nil {
		wrong("%v", err)
		v.stopped = true
		return
	}
	if len(v.cfg.WitnessKeys) > 0 {
		v.times = append(v.times, e.Header.At.UnixNano())
		if e.Header.Kind == KindVerified {
			v.cosigned = append(v.cosigned, cosignedOf(e)...)
		}
	}
	if e.Header.At.Before(v.report.Newest) {
		wrong("its time is before that of an earlier entry")
	} else {
		v.report.Newest = e.Header.At
	}
	if e.Header.Decided {
		if first, twice := v.requests[e.Header.RequestID]; twice {
			wrong("decides the request that entry %d decided", first)
		}
		if v.requests == nil {
			v.requests = map[string]uint64{}
		}
		v.requests[e.Header.RequestID] = index
	}
	if len(e.Body) > 0 {
		v.report.Bodies++
		if v.cfg.Keys != nil {
			v.body(e, wrong)
		}
	}
	if v.stopped {
		return
	}
	for _, f := range v.cfg.Folds {
		if err := applyContained(f, e); err != nil {
			wrong("fold: %v", err)
			v.stopped = true
		}
	}
}

// body decrypts a body. A destroyed key is in order; one that never was, not.
func (v *verification) body(e Entry, wrong func(string, ...any)) {
	context, err := bodyContext(e.Header)
	if err == nil {
		_, err = v.cfg.Keys.Open(e.Header.KeyID, e.Body, context)
	}
	switch {
	case err == nil:
		v.report.BodiesOpened++
	case errors.Is(err, keystore.ErrShredded):
		v.report.BodiesShredded++
	default:
		wrong("body: %v", err)
	}
}

// applyContained applies a fold and turns a panic into an error.
func applyContained(f Fold, e Entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f.Apply(e)
}
