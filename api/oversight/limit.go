package oversight

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Kinds of entry about how much is asked.
const (
	// KindIntake is entered before a warrant that would be granted, and after an edit:
	// keyed tags of its targets, and sealed with it what neighbours they have.
	KindIntake = "oversight.intake"
	// KindLimited is entered when a limit refused something, once an hour for each
	// officer and limit, so that it cannot flood the ledger.
	KindLimited = "oversight.limited"
)

// LimitName names a limit in the ledger and to the overseer.
type LimitName string

// Limits.
const (
	WarrantsOfAuthority LimitName = "warrants_per_authority_hour"
	TasksOfOfficer      LimitName = "tasks_per_officer_day"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
)

// Limits say how much is too much. Zero values mean the defaults.
type Limits struct {
	// WarrantsPerAuthorityHour is how many warrants one authority may have entered in
	// an hour. Default 50.
	WarrantsPerAuthorityHour int
	// TasksPerOfficerDay is how many tasks one officer may make in 24 hours. Default 100.
	TasksPerOfficerDay int
	// WalkLength is how many addresses in a row, named by several warrants within a
	// day, oversight is told of. Default 4.
	WalkLength int
	// StaffListDays is after how many days the list of staff's lines is to be looked at
	// again. Default 92.
	StaffListDays int
}

// Default limits.
const (
	DefaultWarrantsPerAuthorityHour = 50
	DefaultTasksPerOfficerDay       = 100
	DefaultWalkLength               = 4
)

// Filled returns l with its defaults.
func (l Limits) Filled() Limits {
	set := func(v *int, to int) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&l.WarrantsPerAuthorityHour, DefaultWarrantsPerAuthorityHour)
	set(&l.TasksPerOfficerDay, DefaultTasksPerOfficerDay)
	set(&l.WalkLength, DefaultWalkLength)
	set(&l.StaffListDays, DefaultStaffListDays)
	return l
}

// Intake is a warrant that is about to be created, or was edited.
type Intake struct {
	WarrantID string
	Edited    bool // not one more warrant of the authority
	Authority string
	Targets   []string
	KeyID     string // of the present period
}

type intakeFacts struct {
	Authority string   `json:"authority"` // its id: an office, no person
	Edited    bool     `json:"edited,omitempty"`
	KeyID     string   `json:"tag_key_id"`
	Targets   []string `json:"target_tags"`
}

// Receive judges how many warrants of the authority there were in the last hour,
// and drafts the entry of this one, with its [State.Walk]. Reason: RATE_LIMITED.
func (s *State) Receive(now time.Time, by warrant.Caller, in Intake, walk Link, secrets Secrets, l Limits, classKey string) (ledger.Draft, *reason.Error) {
	l = l.Filled()
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := countSince(s.received[in.Authority], now.Add(-hour))
	if n >= l.WarrantsPerAuthorityHour && !in.Edited {
		return ledger.Draft{}, reason.New(reason.RateLimited,
			fmt.Sprintf("The authority has had %d warrants entered within an hour, the most that is allowed. Oversight is told.", n))
	}
	facts := intakeFacts{Authority: in.Authority, Edited: in.Edited, KeyID: in.KeyID, Targets: []string{}}
	for _, target := range in.Targets {
		if prefix, ok := addressOf(target); ok { // a line or a person has no neighbours
			t := Tag{Domain: OfTarget, WarrantID: in.WarrantID, KeyID: in.KeyID}.Seal(secrets[in.KeyID], prefix.String())
			facts.Targets = append(facts.Targets, t.MAC)
		}
	}
	return ledger.Draft{Kind: KindIntake, Actor: by.Actor, Role: string(warrant.LegalOfficer), WarrantID: in.WarrantID, KeyID: classKey,
		Facts: facts, Body: pad(walk)}, nil
}

// Walk returns the run of neighbouring addresses that a warrant, or an edit of it,
// continues, when [Limits.WalkLength] of them or more were named in the last day: a
// search of a network one address at a time. The zero Link: none.
func (s *State) Walk(now time.Time, in Intake, secrets Secrets, l Limits) Link {
	l = l.Filled()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var walk Link
	for _, target := range in.Targets {
		prefix, ok := addressOf(target)
		if !ok {
			continue
		}
		if run := s.run(now, in, prefix, secrets, l.WalkLength); run.Disclosures > walk.Disclosures {
			walk = run
		}
	}
	if walk.Disclosures < l.WalkLength {
		return Link{}
	}
	return walk
}

// run returns how many addresses in a row, of the same length and this one among
// them, were named in the last day: the zero Link unless this content names one that
// was not, and one was that it does not name. mu is held.
func (s *State) run(now time.Time, in Intake, prefix netip.Prefix, secrets Secrets, most int) Link {
	recent := s.tagsSince(OfTarget, now.Add(-day))
	named := func(p netip.Prefix) (own bool, others []string) {
		is := secrets.of(p.String())
		for t := range recent {
			if is(t) && !slices.Contains(others, t.WarrantID) {
				others = append(others, t.WarrantID)
			}
		}
		own = slices.ContainsFunc(in.Targets, func(target string) bool { q, ok := addressOf(target); return ok && q == p })
		return own, others
	}
	l := Link{Warrants: []string{in.WarrantID}}
	onlyOwn, onlyOthers := false, false
	add := func(p netip.Prefix) bool {
		own, others := named(p)
		if !own && len(others) == 0 {
			return false
		}
		l.Disclosures++
		onlyOwn, onlyOthers = onlyOwn || len(others) == 0, onlyOthers || !own
		for _, id := range others {
			if !slices.Contains(l.Warrants, id) {
				l.Warrants = append(l.Warrants, id)
			}
		}
		return true
	}
	add(prefix)
	for _, step := range []func(netip.Prefix) (netip.Prefix, bool){before, after} {
		p, ok := step(prefix)
		for n := 0; ok && n < most && add(p); n++ {
			p, ok = step(p)
		}
	}
	if !onlyOwn || !onlyOthers {
		return Link{}
	}
	return l
}

// addressOf reads a target that is an address, whatever port of it, or a delegated
// prefix; one address has one text here, however it was written.
func addressOf(target string) (netip.Prefix, bool) {
	t, err := warrant.ParseTarget(target)
	switch {
	case err != nil:
		return netip.Prefix{}, false
	case t.Kind == warrant.TargetAddress:
		return netip.PrefixFrom(t.Address, t.Address.BitLen()), true
	}
	return t.Prefix, t.Kind == warrant.TargetPrefix
}

// after returns the prefix of the same length that follows; before, the one that
// precedes. False at the ends of the address space.
func after(p netip.Prefix) (netip.Prefix, bool)  { return neighbour(p, 1) }
func before(p netip.Prefix) (netip.Prefix, bool) { return neighbour(p, 255) }

// neighbour adds 1, or -1 as 255 is in a byte, to the bits of the prefix.
func neighbour(p netip.Prefix, delta byte) (netip.Prefix, bool) {
	if p.Bits() == 0 {
		return netip.Prefix{}, false
	}
	bytes := p.Addr().AsSlice()
	i, shift := (p.Bits()-1)/8, 7-(p.Bits()-1)%8
	unit := byte(1) << shift
	for {
		was := bytes[i]
		if delta == 1 {
			bytes[i] += unit
			if bytes[i] > was {
				break
			}
		} else {
			bytes[i] -= unit
			if bytes[i] < was {
				break
			}
		}
		if i == 0 {
			return netip.Prefix{}, false // around the end
		}
		i, unit = i-1, 1
	}
	a, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(a, p.Bits()), true
}

// MayAsk refuses a task of an officer who made too many in the last day.
func (s *State) MayAsk(now time.Time, by warrant.Caller, l Limits) *reason.Error {
	l = l.Filled()
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := countSince(s.asked[by.Actor], now.Add(-day))
	if n >= l.TasksPerOfficerDay {
		return reason.New(reason.RateLimited, fmt.Sprintf("You made %d tasks within a day, the most that is allowed. Oversight is told.", n))
	}
	return nil
}

// Hit is a limit that refused something.
type Hit struct {
	Limit LimitName
	Actor string
	At    time.Time
	Index uint64
}

type limitedFacts struct {
	Limit LimitName `json:"limit"`
}

// Limited drafts the entry of a refusal, or false when the officer's last by the
// same limit is entered and less than an hour old.
func (s *State) Limited(now time.Time, by warrant.Caller, limit LimitName) (ledger.Draft, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range slices.Backward(s.hits) {
		if h.Actor == by.Actor && h.Limit == limit {
			if now.Sub(h.At) < hour {
				return ledger.Draft{}, false
			}
			break
		}
	}
	return ledger.Draft{Kind: KindLimited, Actor: by.Actor, Role: string(warrant.LegalOfficer), Reason: string(reason.RateLimited),
		Facts: limitedFacts{limit}}, true
}

// Hits returns those since an instant, oldest first.
func (s *State) Hits(since time.Time) []Hit {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Hit
	for _, h := range s.hits {
		if !h.At.Before(since) {
			out = append(out, h)
		}
	}
	return out
}

func (s *State) applyIntake(e ledger.Entry) error {
	var f intakeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.forget(e.Header.At)
	if !f.Edited {
		s.received[f.Authority] = append(dropBefore(s.received[f.Authority], e.Header.At.Add(-hour)), e.Header.At)
	}
	t := Tag{At: e.Header.At, Domain: OfTarget, WarrantID: e.Header.WarrantID, KeyID: f.KeyID}
	for _, mac := range f.Targets {
		t.MAC = mac
		s.tags = append(s.tags, t)
	}
	s.intakes = append(s.intakes, Mark{e.Header.At, e.Index})
	return nil
}

func (s *State) applyTask(e ledger.Entry) {
	s.asked[e.Header.Actor] = append(dropBefore(s.asked[e.Header.Actor], e.Header.At.Add(-day)), e.Header.At)
}

func dropBefore(times []time.Time, since time.Time) []time.Time {
	return slices.DeleteFunc(times, func(at time.Time) bool { return !at.After(since) })
}

func countSince(times []time.Time, since time.Time) (n int) {
	for _, at := range times {
		if at.After(since) {
			n++
		}
	}
	return n
}

func (s *State) applyLimited(e ledger.Entry) error {
	var f limitedFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.hits = append(s.hits, Hit{f.Limit, e.Header.Actor, e.Header.At, e.Index})
	return nil
}
