package expiry

import (
	"context"
	"slices"
	"time"

	"griffier/schema"
)

// KindProved is the kind of the ledger entry of a [Proof].
const KindProved = "retention.proved"

// Verdict is what was found in one place.
type Verdict string

const (
	// Pass: it was looked at, and nothing is past its limit.
	Pass Verdict = "PASS"
	// Fail: something is past its limit, or could not be ruled out.
	Fail Verdict = "FAIL"
	// NotChecked: nothing here can look at it; the cure says who can.
	NotChecked Verdict = "NOT CHECKED"
	// Exception: it is past its limit and kept lawfully, under a hold.
	Exception Verdict = "EXCEPTION"
)

// Finding is about one class, or all, in one place. It names nobody.
type Finding struct {
	Class   schema.Class // empty: of no one class
	Place   string
	Verdict Verdict
	Checked uint64 // how many
	Unit    string // of what
	// Oldest is the oldest that was found there, and Limit what is past it: of
	// rows ended_at and the instant of reading, of days midnight. Zero: none.
	Oldest time.Time
	Limit  time.Time
	Detail string
	Cure   string // of what is not Pass
}

// Limits are what a Place judges by. They are the policy's arithmetic at Now.
type Limits struct {
	Now   time.Time
	Class map[schema.Class]schema.Limit
}

// Grace is what a proof allows beyond the 24 hours in which a day must have left
// the disk: a look of the [Dropper], and a drop under way.
const Grace = 10 * time.Minute

// Overdue reports whether a value of the class that ended at t should have left
// every disk by now. A class without a policy has no lawful value at all; what
// expired under an earlier policy has no time left under a longer one.
func (l Limits) Overdue(class schema.Class, ended time.Time) (bool, error) {
	limit := l.Class[class]
	if !limit.Present {
		return true, nil
	}
	if !ended.After(limit.ExpiredThrough) && l.lapsed(limit.ExpiredAt.Add(schema.DropWithin)) {
		return true, nil
	}
	expires, err := limit.Policy.ExpiresAt(ended)
	if err != nil {
		return false, err
	}
	return l.lapsed(expires.Add(schema.DropWithin)), nil
}

// lapsed tells whether t and the grace after it are over.
func (l Limits) lapsed(t time.Time) bool { return !t.Add(Grace).After(l.Now) }

// DayOverdue reports whether what started on the UTC day should have left every
// disk by now, as a whole.
func (l Limits) DayOverdue(class schema.Class, day time.Time) (bool, error) {
	limit := l.Class[class]
	if !limit.Present {
		return true, nil
	}
	if limit.ExpiredThrough.After(day) && l.lapsed(limit.ExpiredAt.Add(schema.DropWithin)) {
		return true, nil
	}
	at, err := limit.Policy.DayExpiresAt(day)
	if err != nil {
		return false, err
	}
	return l.lapsed(at), nil
}

// A Place is anywhere that copies of rows can be, besides the store that the
// [Verifier] reads itself: backups, a spool, holds. Check returns a finding for
// each class that it knows of, or one of no class; an error means that the place
// could not be read, which fails the proof.
type Place interface {
	Name() string
	Check(ctx context.Context, limits Limits) ([]Finding, error)
}

// Proof is the outcome of one look at every place.
type Proof struct {
	Index uint64    `json:"-"` // of the entry in the ledger
	At    time.Time `json:"-"`

	Verdict    Verdict                  `json:"verdict"` // Fail, or Pass for what was looked at
	Passed     int                      `json:"passed"`
	Failed     int                      `json:"failed"`
	NotChecked int                      `json:"not_checked"`
	Exceptions int                      `json:"exceptions"`
	Classes    map[schema.Class]Verdict `json:"classes"`
	TookMillis int64                    `json:"took_ms"`
	// PolicySHA256 names the policy that was judged by.
	PolicySHA256 string    `json:"policy_sha256"`
	Findings     []Finding `json:"-"` // not in the ledger
}

// proofOf sums findings up.
func proofOf(findings []Finding) Proof {
	p := Proof{Verdict: Pass, Classes: map[schema.Class]Verdict{}, Findings: findings}
	for _, f := range findings {
		switch f.Verdict {
		case Pass:
			p.Passed++
		case NotChecked:
			p.NotChecked++
		case Exception:
			p.Exceptions++
		default:
			p.Failed++
			p.Verdict = Fail
		}
		if f.Class != "" && severity(f.Verdict) > severity(p.Classes[f.Class]) {
			p.Classes[f.Class] = f.Verdict
		}
	}
	return p
}

// severity orders the verdicts by which one a class has that has several.
func severity(v Verdict) int {
	return slices.Index([]Verdict{"", Pass, Exception, NotChecked, Fail}, v)
}
