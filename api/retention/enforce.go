package retention

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// book is the part of the ledger that retention needs ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// trust tells whether a time can be believed ([clock.Leap]): what a policy has
// expire at its first moment stays expired.
type trust interface{ Check(t time.Time) error }

// LengthenError is returned for a policy file that would make data readable
// longer than the policy in force.
type LengthenError struct{ Classes []schema.Class }

func (e *LengthenError) Error() string {
	return fmt.Sprintf("retention policy refused: it lengthens %v, which takes two people; "+
		"put back the old file, or have the new one approved (griffier retention propose)", e.Classes)
}

// OlderError is returned for a policy file that is not newer than the policy in
// force and yet another.
type OlderError struct{ File, InForce uint64 }

func (e *OlderError) Error() string {
	return fmt.Sprintf("retention policy refused: the file has generation %d and generation %d is in force; "+
		"put the file of that generation back, or give the new one a higher number and sign it again", e.File, e.InForce)
}

// Enforce puts a policy file in force: ledger first, then the table that the
// views read. Shortening applies to the next query. A file that is older than the
// policy in force is refused with an [*OlderError]; one that lengthens it with a
// [*LengthenError], unless it has just been approved; any, while the clock is not
// believed, with CLOCK_UNTRUSTED. On any error the policy that was in force still is.
func (k *Keeper) Enforce(ctx context.Context, conn driver.Conn, b book, f File) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	return k.roomy(func() error { return k.enforce(ctx, conn, b, f) })
}

// roomy tries something, and once more if there is room now.
func (k *Keeper) roomy(try func() error) error {
	err := try()
	if err != nil && k.Room != nil && k.Room() {
		err = try()
	}
	return err
}

func (k *Keeper) enforce(ctx context.Context, conn driver.Conn, b book, f File) error {
	if now, ok := k.InForce(); ok {
		switch {
		case now.SHA256 == f.SHA256:
			return k.write(ctx, conn)
		case f.Generation <= now.Generation:
			return &OlderError{f.Generation, now.Generation}
		}
	}
	longer, err := k.longer(ctx, conn, f)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	id := ""
	if len(longer) > 0 {
		if id = k.approval(f.SHA256); id == "" {
			return &LengthenError{longer}
		}
	}
	return k.bring(ctx, conn, b, f, id)
}

// Restore makes the table what the ledger says: a store from a backup may hold a
// policy of long ago. An approved proposal that a stop of the server kept from
// coming into force does now, unless the approval is too old or trusted, which is told who
// signed it, trusts none of them any more.
func (k *Keeper) Restore(ctx context.Context, conn driver.Conn, b book, trusted func(signedBy string) bool) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	return k.roomy(func() error {
		for _, p := range k.Proposals() {
			if p.State(k.now(), k.Generation()) == Approved && trusted(p.SignedBy) {
				return k.bring(ctx, conn, b, p.File, p.ID)
			}
		}
		return k.write(ctx, conn)
	})
}

// Agrees tells whether the table has what the ledger says is in force: the store
// failed after the ledger had it, or somebody wrote into the table, if not.
func (k *Keeper) Agrees(ctx context.Context, conn driver.Conn) (bool, error) {
	f, ok := k.InForce()
	if !ok {
		return true, nil
	}
	stored, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return false, fmt.Errorf("retention policy: %w", err)
	}
	return slices.Equal(stored, f.Policies()), nil
}

// longer lists what f lengthens over the ledger's policy, or, where the ledger
// has none, over the table's.
func (k *Keeper) longer(ctx context.Context, conn driver.Conn, f File) ([]schema.Class, error) {
	if _, ok := k.InForce(); ok {
		k.mu.RLock()
		defer k.mu.RUnlock()
		return k.lengthened(f)
	}
	old, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return nil, err
	}
	return f.Lengthened(old)
}

// approval finds the approved proposal of a file.
func (k *Keeper) approval(sha256 string) string {
	for _, p := range k.Proposals() {
		if p.SHA256 == sha256 && p.State(k.now(), k.Generation()) == Approved {
			return p.ID
		}
	}
	return ""
}

// bring enters f as the policy in force and writes the table.
func (k *Keeper) bring(ctx context.Context, conn driver.Conn, b book, f File, proposalID string) error {
	if err := k.believe(ctx, conn); err != nil {
		return err
	}
	_, err := b.Append(ctx, ledger.Draft{Kind: KindPolicy, Role: "system", Generation: f.Generation,
		Facts: policyFacts{factsOf(f), proposalID}})
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	if now, _ := k.InForce(); now.SHA256 != f.SHA256 {
		return fmt.Errorf("retention policy: another came into force first, of generation %d", now.Generation)
	}
	return k.write(ctx, conn)
}

// write writes the policy in force to the table, if it is not there.
func (k *Keeper) write(ctx context.Context, conn driver.Conn) error {
	f, ok := k.InForce()
	if !ok {
		return nil
	}
	agrees, err := k.Agrees(ctx, conn)
	if err != nil {
		return err
	}
	if !agrees {
		if err := k.believe(ctx, conn); err != nil {
			return err
		}
	}
	if err := schema.WritePolicy(ctx, conn, f.Jurisdiction, f.Policies()); err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	if !agrees && k.Changed != nil {
		k.Changed()
	}
	return nil
}

// believe is an error while the later of this clock and the store's, by which a
// policy is written, cannot be believed.
func (k *Keeper) believe(ctx context.Context, conn driver.Conn) error {
	if k.Clock == nil {
		return nil
	}
	latest, err := schema.Now(ctx, conn)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	if own := k.now(); own.After(latest) {
		latest = own
	}
	if err := k.Clock.Check(latest); err != nil {
		return fmt.Errorf("retention policy: not brought into force: %w", err)
	}
	return nil
}
