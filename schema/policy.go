package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Policy says how long rows of a class may be read, counted from their
// ended_at, and why that long. It is data: the product has no built-in period.
type Policy struct {
	Class   Class
	Period  string // ISO 8601 calendar period, see ParsePeriod
	Zone    string // IANA zone whose calendar counts
	Purpose string // what the data is kept for; mandatory
	Basis   string // the rule that allows it, for example "Tw 11.5"
	Source  string // where that rule or the decision is written down
}

// Profiles of law that a policy can be judged by.
const (
	ProfileNL = "nl"
	ProfileBE = "be"
)

// ErrPolicy is wrapped by every refusal of a policy's content.
var ErrPolicy = errors.New("retention policy refused")

// legalDuty lists what a duty by law to retain is called. The Netherlands have
// had none since 2015 (ECLI:NL:RBDHA:2015:2498), so it is no purpose there.
var legalDuty = []string{
	"legal duty", "legal obligation", "statutory duty", "statutory obligation", "statutory retention",
	"retention duty", "retention obligation", "wettelijke plicht", "wettelijke verplichting", "bewaarplicht",
}

// Refusal is one thing that is wrong with a policy.
type Refusal struct {
	Field string // class, period, zone or purpose
	Why   string
}

// Refusals lists all that keeps p from being used under profile. A profile is
// nl or be, or both joined by +: then p must be good under each. The class is
// not looked at: a policy file holds rules of more than the store's classes.
func (p Policy) Refusals(profile string) []Refusal {
	var out []Refusal
	if _, err := ParsePeriod(p.Period); err != nil {
		out = append(out, Refusal{"period", err.Error()})
	}
	if _, err := loadZone(p.Zone); err != nil {
		out = append(out, Refusal{"zone", err.Error()})
	}
	purpose := plainWords(p.Purpose)
	if purpose == "" {
		out = append(out, Refusal{"purpose", "purpose is missing"})
	}
	if slices.Contains(strings.Split(profile, "+"), ProfileNL) {
		for _, duty := range legalDuty {
			if strings.Contains(" "+purpose+" ", " "+duty+" ") {
				out = append(out, Refusal{"purpose", "a legal duty to retain is not a purpose in profile nl"})
				break
			}
		}
	}
	return out
}

// Validate reports whether p may be used under profile, as [Policy.Refusals]
// reads it. Its error wraps [ErrPolicy].
func (p Policy) Validate(profile string) error {
	for _, name := range strings.Split(profile, "+") {
		if name != ProfileNL && name != ProfileBE {
			return fmt.Errorf("%w: unknown profile %q", ErrPolicy, clip(profile))
		}
	}
	refusals := p.Refusals(profile)
	if !slices.Contains(Classes, p.Class) {
		refusals = slices.Insert(refusals, 0, Refusal{"class", "unknown class"})
	}
	if len(refusals) > 0 {
		return fmt.Errorf("%w: class %q: %s", ErrPolicy, clip(string(p.Class)), refusals[0].Why)
	}
	return nil
}

// plainWords lowers s and turns all that is neither letter nor digit into single spaces.
func plainWords(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), " ")
}

// ExpiresAt returns the instant at which a row that ended at endedAt stops being readable.
func (p Policy) ExpiresAt(endedAt time.Time) (time.Time, error) {
	period, zone, err := p.rule()
	if err != nil {
		return time.Time{}, err
	}
	return period.After(endedAt, zone), nil
}

// ReadableFrom returns the instant such that every row that ended at or before
// it has expired at now.
func (p Policy) ReadableFrom(now time.Time) (time.Time, error) {
	period, zone, err := p.rule()
	if err != nil {
		return time.Time{}, err
	}
	return period.Before(now, zone), nil
}

// Lengthens reports whether some row is readable longer under next than under p.
// Another zone counts as longer, since some instant of some day comes later.
// Calendar periods have no one length, so both are applied to the noon of every
// day of a leap cycle.
func (p Policy) Lengthens(next Policy) (bool, error) {
	period, zone, err := p.rule()
	if err != nil {
		return false, err
	}
	nextPeriod, nextZone, err := next.rule()
	if err != nil {
		return false, err
	}
	if p.Zone != next.Zone {
		return true, nil
	}
	more, less := false, false
	for _, d := range [...]int64{int64(nextPeriod.months() - period.months()), int64(nextPeriod.days() - period.days()), nextPeriod.seconds() - period.seconds()} {
		more, less = more || d > 0, less || d < 0
	}
	if !more || !less {
		return more, nil
	}
	start := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	for day := range 366 + 3*365 {
		ended := start.AddDate(0, 0, day)
		if nextPeriod.After(ended, nextZone).After(period.After(ended, zone)) {
			return true, nil
		}
	}
	return false, nil
}

func (p Policy) rule() (Period, *time.Location, error) {
	period, err := ParsePeriod(p.Period)
	if err != nil {
		return Period{}, nil, err
	}
	zone, err := loadZone(p.Zone)
	return period, zone, err
}

// policyWriting is held from reading the policy to writing its next generation.
var policyWriting sync.Mutex

// storedPolicy is the newest policy of a class in traffic.gate.
type storedPolicy struct {
	Policy
	generation     uint64
	present        bool
	expiredThrough time.Time
}

func readStoredPolicies(ctx context.Context, conn driver.Conn) (map[Class]storedPolicy, error) {
	rows, err := conn.Query(ctx, `
SELECT class, generation, present, period, zone, purpose, basis, source, expired_through
FROM traffic.gate
WHERE class != ''
ORDER BY class, generation DESC
LIMIT 1 BY class`)
	if err != nil {
		return nil, fmt.Errorf("read retention policy: %w", err)
	}
	defer rows.Close()
	stored := make(map[Class]storedPolicy)
	for rows.Next() {
		var p storedPolicy
		var class string
		err := rows.Scan(&class, &p.generation, &p.present, &p.Period, &p.Zone, &p.Purpose, &p.Basis, &p.Source, &p.expiredThrough)
		if err != nil {
			return nil, fmt.Errorf("read retention policy: %w", err)
		}
		p.Class = Class(class)
		stored[p.Class] = p
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read retention policy: %w", err)
	}
	return stored, nil
}

// ReadPolicy returns the policies in force, in the order of [Classes]. A class
// that is not among them cannot be read.
func ReadPolicy(ctx context.Context, conn driver.Conn) ([]Policy, error) {
	stored, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return nil, err
	}
	var policies []Policy
	for _, class := range Classes {
		if p, ok := stored[class]; ok && p.present {
			policies = append(policies, p.Policy)
		}
	}
	return policies, nil
}

// WritePolicy replaces the whole policy, in one block: it applies to the next
// query. A class that policies leaves out cannot be read any more. Rows that had
// expired before stay expired, even if their class's period becomes longer. A
// policy that is in force already is not written again.
//
// It validates everything before it writes anything; the error then wraps
// [ErrPolicy]. One process may write policy at a time; within it, calls may be
// concurrent with each other and with [DropDay].
func WritePolicy(ctx context.Context, conn driver.Conn, profile string, policies []Policy) error {
	wanted := make(map[Class]Policy)
	for _, p := range policies {
		if err := p.Validate(profile); err != nil {
			return err
		}
		if _, twice := wanted[p.Class]; twice {
			return fmt.Errorf("%w: class %q: given twice", ErrPolicy, p.Class)
		}
		wanted[p.Class] = p
	}
	policyWriting.Lock()
	defer policyWriting.Unlock()
	stored, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return err
	}
	if inForce(stored, wanted) {
		return nil
	}
	now, err := Now(ctx, conn)
	if err != nil {
		return err
	}
	var generation uint64
	for _, p := range stored {
		generation = max(generation, p.generation)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO traffic.gate (generation, class, present, period, months, days, seconds,"+
		" zone, purpose, basis, source, profile, expired_through, written_at)")
	if err != nil {
		return fmt.Errorf("write retention policy: %w", err)
	}
	defer batch.Close()
	for _, class := range Classes {
		p, present := wanted[class]
		expired, err := expiredThrough(stored[class], p, now)
		if err != nil {
			return fmt.Errorf("write retention policy: stored class %s: %w", class, err)
		}
		var period Period
		if present {
			period, _ = ParsePeriod(p.Period) // validated above
		}
		err = batch.Append(generation+1, string(class), present, p.Period, uint32(period.months()), uint32(period.days()), uint64(period.seconds()),
			p.Zone, p.Purpose, p.Basis, p.Source, profile, expired, now)
		if err != nil {
			return fmt.Errorf("write retention policy: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("write retention policy: %w", spaceError(err))
	}
	return nil
}

// inForce reports whether the stored policy is exactly what is wanted.
func inForce(stored map[Class]storedPolicy, wanted map[Class]Policy) bool {
	for _, class := range Classes {
		p, ok := wanted[class]
		if s, known := stored[class]; !known || s.present != ok || ok && s.Policy != p {
			return false
		}
	}
	return true
}

// expiredThrough returns the ended_at up to which rows have expired at now under
// the stored policy, and so must stay expired under the next. As long as a
// class's rule does not change there is nothing to hold on to; when it does, a
// row of the last days of a month may be held expired some hours early, because
// those days share one expiry day (see [Period.Before]).
func expiredThrough(stored storedPolicy, next Policy, now time.Time) (time.Time, error) {
	through := stored.expiredThrough
	if through.IsZero() {
		through = time.Unix(0, 0).UTC()
	}
	if !stored.present || stored.Period == next.Period && stored.Zone == next.Zone {
		return through, nil
	}
	before, err := stored.ReadableFrom(now)
	if err != nil {
		return time.Time{}, err
	}
	if before.After(through) {
		through = before
	}
	return through, nil
}
