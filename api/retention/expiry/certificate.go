package expiry

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"griffier/api/ledger"
	"griffier/schema"
)

// Kinds of ledger entry about days that leave the disk.
const (
	KindDropIntended = "retention.drop_intended"
	KindDropped      = "retention.dropped"
)

// Outcome is what became of a day that was to be dropped.
type Outcome string

const (
	// OutcomeDropped: the day's parts are gone.
	OutcomeDropped Outcome = "dropped"
	// OutcomeChanged: after a crash the day had other parts than the intent names;
	// whatever it has now gets an intent of its own.
	OutcomeChanged Outcome = "changed"
	// OutcomeKept: the policy in force had the day stay after all.
	OutcomeKept Outcome = "kept"
)

// Certificate says what left the disk, when, and under which policy. It is the
// clear part of a ledger entry: counts and hashes, nothing of anybody.
type Certificate struct {
	Index  uint64    `json:"-"` // of the entry in the ledger
	At     time.Time `json:"-"`
	Intent uint64    `json:"intent"` // index of the entry before the drop

	Class   schema.Class `json:"class"`
	From    time.Time    `json:"from"` // what started from here on
	Until   time.Time    `json:"until"`
	Outcome Outcome      `json:"outcome"`
	Rows    uint64       `json:"rows"` // as stored, superseded versions included
	Bytes   uint64       `json:"bytes"`
	// PartsBefore and PartsAfter are hashes of the lists of the day's parts, see
	// [schema.DayPartition].
	PartsBefore string `json:"parts_before_sha256"`
	PartsAfter  string `json:"parts_after_sha256"`
	// RowsAfter are rows that came in while the day was dropped; they are dropped
	// next, with a certificate of their own.
	RowsAfter uint64 `json:"rows_after"`

	PolicyGeneration uint64 `json:"policy_generation"`
	PolicySHA256     string `json:"policy_sha256"`
}

// intent is the entry before a drop.
type intent struct {
	index uint64
	at    time.Time

	Class            schema.Class `json:"class"`
	From             time.Time    `json:"from"`
	Until            time.Time    `json:"until"`
	Rows             uint64       `json:"rows"`
	Bytes            uint64       `json:"bytes"`
	Parts            string       `json:"parts_sha256"`
	ExpiredAt        time.Time    `json:"expired_at"` // from when on the policy has the day dropped
	PolicyGeneration uint64       `json:"policy_generation"`
	PolicySHA256     string       `json:"policy_sha256"`
}

// Record is what the ledger knows about deletion: the certificates, drops that
// were begun and not certified, and the last proof. It is a fold;
// its other methods may be called concurrently.
type Record struct {
	mu           sync.Mutex
	intents      map[uint64]intent // without certificate, by index
	certificates []Certificate
	proof        *Proof
}

// Apply implements [ledger.Fold].
func (r *Record) Apply(e ledger.Entry) error {
	read := func(into any) error {
		if err := json.Unmarshal(e.Header.Facts, into); err != nil {
			return fmt.Errorf("entry %d: %s: %w", e.Index, e.Header.Kind, err)
		}
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Header.Kind {
	case KindDropIntended:
		i := intent{index: e.Index, at: e.Header.At}
		if err := read(&i); err != nil {
			return err
		}
		if r.intents == nil {
			r.intents = map[uint64]intent{}
		}
		r.intents[e.Index] = i
	case KindDropped:
		c := Certificate{Index: e.Index, At: e.Header.At}
		if err := read(&c); err != nil {
			return err
		}
		delete(r.intents, c.Intent)
		r.certificates = append(r.certificates, c)
	case KindProved:
		p := Proof{Index: e.Index, At: e.Header.At}
		if err := read(&p); err != nil {
			return err
		}
		r.proof = &p
	}
	return nil
}

// Certificates returns the newest certificates first, at most n, of one class or,
// with the empty class, of all.
func (r *Record) Certificates(class schema.Class, n int) []Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Certificate
	for _, c := range slices.Backward(r.certificates) {
		if len(out) == n {
			break
		}
		if class == "" || c.Class == class {
			out = append(out, c)
		}
	}
	return out
}

// LastProof returns the newest proof, if there is one.
func (r *Record) LastProof() (Proof, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proof == nil {
		return Proof{}, false
	}
	return *r.proof, true
}

// waiting returns the drops that were begun and not certified, oldest first.
func (r *Record) waiting() []intent {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []intent
	for _, i := range r.intents {
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b intent) int { return int(int64(a.index) - int64(b.index)) })
	return out
}
