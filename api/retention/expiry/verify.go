package expiry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// Verifier proves that nothing is readable past its limit, or on disk a day past
// it. Its methods may be called concurrently; proofs are made one at a time.
type Verifier struct {
	Conn   driver.Conn
	Book   book
	Record *Record
	Policy func() (generation uint64, sha256 string) // of the file in force
	// DataDir is the embedded engine's folder; empty for a server, whose files
	// cannot be seen from here.
	DataDir string
	Places  []Place // besides the store
	// Agrees, if not nil, tells whether the store judges by the policy in force.
	Agrees func(ctx context.Context) (bool, error)
	// Settle, if not nil, returns when what the newest change of the policy made due
	// is dropped ([Dropper.Settle]): until then that is under way, and not overdue.
	Settle func(ctx context.Context) error
	// Held, if not nil, counts rows under holds, for [Verifier.Report].
	Held func(ctx context.Context) (map[schema.Class]uint64, error)
	Now  func() time.Time
	// Log gets the errors of places that could not be looked at, which a proof only
	// counts; nil: nobody does.
	Log *slog.Logger

	one sync.Mutex
}

// Options say how thorough a proof is.
type Options struct {
	// Whole reads the end of every stored row, instead of trusting the tables'
	// own constraint that none ends before the day of its partition.
	Whole bool
	// Progress, if not nil, is called before each place.
	Progress func(place string, class schema.Class, done, total int)
}

// step is one thing to look at.
type step struct {
	place string
	class schema.Class
	look  func(ctx context.Context, l Limits) ([]Finding, error)
}

// Verify looks at every place, and enters the outcome in the ledger before it
// returns it. A proof that fails is no error; an error means that there is none.
func (v *Verifier) Verify(ctx context.Context, o Options) (Proof, error) {
	v.one.Lock()
	defer v.one.Unlock()
	began := v.Now()
	if v.Settle != nil {
		// The dropper says itself what kept it; what is left then is found below.
		_ = v.Settle(ctx)
	}
	limits, err := v.limits(ctx)
	if err != nil {
		return Proof{}, fmt.Errorf("retention proof: %w", err)
	}
	steps := v.steps(o)
	var findings []Finding
	for i, s := range steps {
		if o.Progress != nil {
			o.Progress(s.place, s.class, i, len(steps))
		}
		found, err := s.look(ctx, limits)
		if err != nil {
			if ctx.Err() != nil {
				return Proof{}, fmt.Errorf("retention proof: %w", ctx.Err())
			}
			if v.Log != nil { // what is asked here names nobody
				v.Log.LogAttrs(ctx, slog.LevelError, "retention proof: a place could not be looked at",
					slog.String("place", s.place), slog.String("class", string(s.class)), slog.String("error", err.Error()))
			}
			found = []Finding{{Class: s.class, Place: s.place, Verdict: Fail, Detail: "could not be looked at: " + why(err),
				Cure: "see griffierd's log, which says why at `a place could not be looked at`, and verify again"}}
		}
		findings = append(findings, found...)
	}
	p := proofOf(findings)
	p.TookMillis = v.Now().Sub(began).Milliseconds()
	_, p.PolicySHA256 = v.Policy()
	e, err := v.Book.Append(ctx, ledger.Draft{Kind: KindProved, Role: "system", Facts: p})
	if err != nil {
		return Proof{}, fmt.Errorf("retention proof: enter it: %w", err)
	}
	p.Index, p.At = e.Index, e.Header.At
	return p, nil
}

// why is the outermost text of an error: what was being done, without what a
// store may quote.
func why(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "out of time"
	}
	return "the place did not answer"
}

// limits are judged at the later of this clock and the store's, which has the
// floor.
func (v *Verifier) limits(ctx context.Context) (Limits, error) {
	class, now, err := schema.Limits(ctx, v.Conn)
	if err != nil {
		return Limits{}, err
	}
	if own := v.Now(); own.After(now) {
		now = own.UTC()
	}
	return Limits{Now: now, Class: class}, nil
}

func (v *Verifier) steps(o Options) []step {
	var steps []step
	if v.Agrees != nil {
		steps = append(steps, step{"policy", "", v.policy})
	}
	for _, class := range schema.Classes {
		if !class.HasTable() {
			continue
		}
		steps = append(steps,
			step{"views", class, func(ctx context.Context, l Limits) ([]Finding, error) { return v.readable(ctx, class, l) }},
			step{"rows", class, func(ctx context.Context, l Limits) ([]Finding, error) { return v.stored(ctx, class, l, o.Whole) }})
	}
	steps = append(steps,
		step{"parts", "", v.parts},
		step{"idle parts", "", v.idle},
		step{"files", "", v.files},
		step{"other tables", "", v.strangers},
		step{"server logs", "", v.logs},
		step{"drops", "", v.drops})
	seen := map[string]bool{}
	for _, p := range v.Places {
		seen[p.Name()] = true
		steps = append(steps, step{p.Name(), "", p.Check})
	}
	for _, outside := range outsides {
		if !seen[outside.Place] {
			steps = append(steps, step{outside.Place, "", func(context.Context, Limits) ([]Finding, error) { return []Finding{outside}, nil }})
		}
	}
	return steps
}

// outsides are the places that griffierd cannot see by itself: said plainly,
// unless a [Place] of that name looks.
var outsides = []Finding{
	{Place: "spool", Verdict: NotChecked, Detail: "spools and quarantines are on the collectors' hosts",
		Cure: "on each of them run: griffier-collector -config FILE -verify-retention"},
	{Place: "backups", Verdict: NotChecked, Detail: "griffierd has no reader of backups",
		Cure: "see that none is older than thirty days, and verify what is restored before anyone reads it"},
	{Place: "holds", Verdict: NotChecked, Detail: "no keeper of holds is set up", Cure: "none, while no hold was ever made"},
}

// policy compares what the store judges by, and everything below with it, with what is
// in force.
func (v *Verifier) policy(ctx context.Context, _ Limits) ([]Finding, error) {
	agrees, err := v.Agrees(ctx)
	if err != nil {
		return nil, err
	}
	f := Finding{Place: "policy", Verdict: Pass, Checked: 1, Unit: "tables"}
	if !agrees {
		f.Verdict, f.Detail = Fail, "the store judges by another policy than is in force"
		f.Cure = "griffierd writes the one in force again every minute; its log says why it cannot: `the store does not have the retention policy in force`"
	}
	return []Finding{f}, nil
}

// readable recomputes in Go what each view lets through.
func (v *Verifier) readable(ctx context.Context, class schema.Class, l Limits) ([]Finding, error) {
	f := Finding{Class: class, Place: "views", Verdict: Pass, Unit: "rows near the limit"}
	limit := l.Class[class]
	through := limit.ReadableFrom // without a policy that is now, so every row
	if limit.Present {
		f.Limit = through
	}
	quarters, err := schema.Readable(ctx, v.Conn, class, through)
	if err != nil {
		return nil, err
	}
	for _, q := range quarters {
		f.Checked += q.Rows
		if f.Oldest.IsZero() {
			f.Oldest = q.Oldest
		}
		readable := false
		if limit.Present {
			expires, err := limit.Policy.ExpiresAt(q.Oldest)
			if err != nil {
				return nil, err
			}
			readable = expires.After(l.Now)
		}
		if !readable && f.Verdict == Pass {
			f.Verdict, f.Oldest = Fail, q.Oldest
			f.Detail = "a row can be read past its limit"
			f.Cure = "the view is not the shipped one, or the store's clock is behind: stop readers, restart griffierd to check the migrations, and compare the clocks"
		}
	}
	return []Finding{f}, nil
}

// stored looks at the rows themselves, as far back as anything may have expired.
func (v *Verifier) stored(ctx context.Context, class schema.Class, l Limits, whole bool) ([]Finding, error) {
	f := Finding{Class: class, Place: "rows", Verdict: Pass, Unit: "rows that have expired"}
	limit := l.Class[class]
	if limit.Present {
		f.Limit = limit.ReadableFrom
	}
	quarters, err := schema.Stored(ctx, v.Conn, class, limit.ReadableFrom, whole)
	if err != nil {
		return nil, err
	}
	for _, q := range quarters {
		f.Checked += q.Rows
		if f.Oldest.IsZero() {
			f.Oldest = q.Oldest
		}
		overdue, err := l.Overdue(class, q.Oldest)
		if err != nil {
			return nil, err
		}
		if overdue && f.Verdict == Pass {
			f.Verdict, f.Oldest = Fail, q.Oldest
			f.Detail = "a row is on disk more than 24 hours past its limit"
			f.Cure = dropCure
			if !limit.Present {
				f.Detail, f.Cure = "rows are on disk of a class that no policy is in force for", "put a policy in force that names the class"
			}
		}
	}
	return []Finding{f}, nil
}

const dropCure = "see why griffierd does not drop: its log says `expired data not dropped`, and the ledger must be writable"

// drops looks at the ledger: what was begun must have been certified.
func (v *Verifier) drops(_ context.Context, l Limits) ([]Finding, error) {
	waiting := v.Record.waiting()
	f := Finding{Place: "drops", Verdict: Pass, Checked: uint64(len(v.Record.Certificates("", 1<<30)) + len(waiting)), Unit: "drops in the ledger"}
	for _, i := range waiting {
		if i.at.Add(Grace).Before(l.Now) {
			f.Verdict, f.Detail, f.Cure = Fail, fmt.Sprintf("the drop of entry %d was begun and never certified", i.index), dropCure
			break
		}
	}
	return []Finding{f}, nil
}
