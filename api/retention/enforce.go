package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// KindPolicy is the kind of ledger entry that a policy in force is.
const KindPolicy = "retention.policy"

// book is the part of the ledger that retention needs ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// Keeper applies the policy. It is a fold over the ledger, to know which policy
// file is in force.
type Keeper struct {
	mu      sync.Mutex
	applied string // SHA-256 of the policy file in force
}

type policyFacts struct {
	SHA256  string            `json:"sha256"`
	Profile string            `json:"profile"`
	Periods map[string]string `json:"periods"`
}

// Apply implements [ledger.Fold].
func (k *Keeper) Apply(e ledger.Entry) error {
	if e.Header.Kind != KindPolicy {
		return nil
	}
	var f policyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, KindPolicy, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = f.SHA256
	return nil
}

// LengthenError is returned for a policy file that would make data readable
// longer than the policy in force.
type LengthenError struct{ Classes []schema.Class }

func (e *LengthenError) Error() string {
	return fmt.Sprintf("retention policy refused: it lengthens %v, which takes two people; "+
		"put back the old periods, or have the new file approved", e.Classes)
}

// Enforce puts a policy file in force: ledger first, then the table that the
// views read. Shortening applies to the next query. A file that lengthens a
// period over what is in force is refused with a [*LengthenError].
func (k *Keeper) Enforce(ctx context.Context, conn driver.Conn, b book, f File) error {
	stored, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	longer, err := f.Lengthened(stored)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	if len(longer) > 0 {
		return &LengthenError{longer}
	}
	k.mu.Lock()
	same := k.applied == f.SHA256
	k.mu.Unlock()
	if !same {
		facts := policyFacts{SHA256: f.SHA256, Profile: f.Profile, Periods: map[string]string{}}
		for _, p := range f.Policies {
			facts.Periods[string(p.Class)] = p.Period
		}
		if _, err := b.Append(ctx, ledger.Draft{Kind: KindPolicy, Role: "system", Facts: facts}); err != nil {
			return fmt.Errorf("retention policy: %w", err)
		}
	}
	if err := schema.WritePolicy(ctx, conn, f.Profile, f.Policies); err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	return nil
}

// longer tells whether rows that end at some instant are readable longer under
// now than under was. Another zone counts as longer: its calendar is another. Calendar periods have no one length, so both are applied
// to every day of a leap cycle.
func longer(was, now schema.Policy) (bool, error) {
	if was.Zone != now.Zone {
		return true, nil // some instant of some day comes later
	}
	if was.Period == now.Period {
		return false, nil
	}
	start := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	for day := range 366 + 3*365 {
		ended := start.AddDate(0, 0, day)
		before, err := was.ExpiresAt(ended)
		if err != nil {
			return false, err
		}
		after, err := now.ExpiresAt(ended)
		if err != nil {
			return false, err
		}
		if after.After(before) {
			return true, nil
		}
	}
	return false, nil
}
