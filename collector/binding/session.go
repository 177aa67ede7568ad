package binding

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"griffier/schema"
)

// toldTolerance is how far two told starts (time minus Acct-Session-Time, both
// in whole seconds) may differ and still be the same start.
const toldTolerance = 5 * time.Second

// A session is what was observed of one session (exported fields: the facts,
// kept in snapshots) and what follows from that (the others, derived).
type session struct {
	Key        sessionKey
	ID         schema.ID
	Ref        schema.AccessRef
	Known      bool // an identifier was seen; before that nothing is recorded
	Identifier schema.Identifier
	NAS        string
	NASPort    string
	Scope      uint32

	StartSeen      time.Time // of the earliest Start observation
	StartCertainty schema.Certainty
	StartTold      time.Time // the start as later observations tell it
	FirstAt        time.Time // earliest observation of any kind
	LastAt         time.Time // latest Start or Refresh: the session lived then
	ExpiresAt      time.Time // as told at LastAt
	End            *ending
	Refreshed      bool           `json:",omitempty"` // a Refresh was seen: its source reports what lives
	EndTold        []netip.Prefix // named by an End, which proves nothing about the time just before it
	Runs           []run          // what it held when, ascending

	Counted *counted `json:",omitempty"` // what the source's own counting came to

	SettledUntil time.Time // slices that end by then are final
	Emitted      []slice   // the later ones, as last emitted

	awaited time.Time // for when it is among the deadlines; zero if not
	counted bool      // among the live

	start  ending // At and Certainty of the start
	own    ending // the end by its own facts; At is zero while there is none
	end    ending // own, or earlier if newcomers took all it held
	claims []claim
}

// An ending is when something ended and why; it also serves for starts.
type ending struct {
	At        time.Time
	Cause     schema.EndCause
	Certainty schema.Certainty
}

// A run is a set of prefixes that every telling from From to To repeated.
type run struct {
	From, To time.Time
	Prefixes []netip.Prefix // sorted
	Between  []time.Time    // other tellings between From and To, ascending, the latest maxBetween
	Thinned  bool           // there were more
	Since    []time.Time    // when each was first held, if before From and the run that said so is forgotten
	Split    bool           // a late telling fell inside a thinned run: From is a bound, not a sighting
}

// maxBetween is how many tellings of a run are remembered one by one, in case a
// contrary one comes late.
const maxBetween = 16

// also adds a telling at t, which lies anywhere.
func (r *run) also(t time.Time) {
	switch {
	case t.Before(r.From):
		t, r.From = r.From, t
	case t.After(r.To):
		t, r.To = r.To, t
	}
	if t.Equal(r.From) || t.Equal(r.To) {
		return
	}
	i, known := slices.BinarySearchFunc(r.Between, t, time.Time.Compare)
	if known {
		return
	}
	r.Between = slices.Insert(r.Between, i, t)
	if len(r.Between) > maxBetween {
		r.Between, r.Thinned = slices.Delete(r.Between, 0, 1), true
	}
}

// within returns the part of the run whose tellings lie between after and
// before, and whether there are any.
func (r run) within(after, before time.Time) (part run, ok bool) {
	part = run{Prefixes: r.Prefixes, Thinned: r.Thinned}
	for _, t := range slices.Concat([]time.Time{r.From}, r.Between, []time.Time{r.To}) {
		if !after.IsZero() && !t.After(after) || !before.IsZero() && !t.Before(before) {
			continue
		}
		if !ok {
			part.From, part.To, ok = t, t, true
		}
		part.also(t)
	}
	return part, ok
}

func compareSessions(a, b *session) int {
	if c := strings.Compare(string(a.Key.Source), string(b.Key.Source)); c != 0 {
		return c
	}
	return strings.Compare(a.Key.Key, b.Key.Key)
}

func (s *session) live() bool { return s.end.At.IsZero() }

// observe merges one observation into the facts. The result does not depend on
// the order of observations.
func (s *session) observe(o Observation) {
	if s.NAS == "" {
		s.NAS = o.NAS
	}
	if s.NASPort == "" {
		s.NASPort = o.NASPort
	}
	if s.FirstAt.IsZero() {
		s.Scope = o.Scope
	}
	if s.FirstAt.IsZero() || o.At.Before(s.FirstAt) {
		s.FirstAt = o.At
	}
	if o.Kind == Start && (s.StartSeen.IsZero() || o.At.Before(s.StartSeen)) {
		s.StartSeen, s.StartCertainty = o.At, o.Certainty
	}
	if told := o.SessionStartedAt; o.Kind != Start && !told.IsZero() && !told.After(o.At) {
		if s.StartTold.IsZero() || told.Before(s.StartTold.Add(-toldTolerance)) {
			s.StartTold = told
		}
	}
	if o.Kind == End {
		end := ending{o.At, o.EndCause, o.Certainty}
		if s.End == nil || end.better(*s.End) {
			s.End = &end
		}
	} else if !o.At.Before(s.LastAt) {
		if o.At.After(s.LastAt) || o.ExpiresAt.After(s.ExpiresAt) {
			s.ExpiresAt = o.ExpiresAt
		}
		s.LastAt = o.At
	}
	if o.Kind == Refresh {
		s.Refreshed = true
	}
	if o.Prefixes == nil {
		return
	}
	if o.Kind == End {
		s.EndTold = sorted(append(s.EndTold, o.Prefixes...))
		return
	}
	s.tell(o.At, sorted(o.Prefixes))
}

// sorted returns the prefixes in their canonical form, sorted, each once.
func sorted(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.IsValid() {
			out = append(out, netip.PrefixFrom(p.Addr().Unmap().WithZone(""), p.Bits()).Masked())
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// better orders rival ends of one session: the surer one, then the earlier.
func (e ending) better(than ending) bool {
	if a, b := weakness(e.Certainty), weakness(than.Certainty); a != b {
		return a < b
	}
	if !e.At.Equal(than.At) {
		return e.At.Before(than.At)
	}
	return e.Cause < than.Cause
}

func weakness(c schema.Certainty) int {
	switch c {
	case schema.CertaintyObserved:
		return 0
	case schema.CertaintySynthesised:
		return 1
	}
	return 2
}

func weakest(a, b schema.Certainty) schema.Certainty {
	if weakness(b) > weakness(a) {
		return b
	}
	return a
}

// tell records that at t the session held exactly the given prefixes.
func (s *session) tell(t time.Time, held []netip.Prefix) {
	// i is the first run that starts after t.
	i, _ := slices.BinarySearchFunc(s.Runs, t, func(r run, t time.Time) int {
		if r.From.After(t) {
			return 1
		}
		return -1
	})
	before := i - 1
	switch {
	case before >= 0 && !t.After(s.Runs[before].To):
		s.tellInside(before, t, held)
	case before >= 0 && slices.Equal(s.Runs[before].Prefixes, held):
		s.Runs[before].also(t)
	case i < len(s.Runs) && s.Runs[i].Since == nil && slices.Equal(s.Runs[i].Prefixes, held):
		s.Runs[i].also(t)
	default:
		s.Runs = slices.Insert(s.Runs, i, run{From: t, To: t, Prefixes: held})
	}
	if len(s.Runs) > maxRuns {
		s.dropOldestRun()
	}
}

// tellInside handles a late telling within run i. Where the run's own tellings
// carry the same time, both hold.
func (s *session) tellInside(i int, t time.Time, held []netip.Prefix) {
	r := s.Runs[i]
	if slices.Equal(r.Prefixes, held) {
		s.Runs[i].also(t)
		return
	}
	mid := run{From: t, To: t, Prefixes: held}
	if t.Equal(r.From) || t.Equal(r.To) || slices.ContainsFunc(r.Between, t.Equal) {
		mid.Prefixes = sorted(slices.Concat(held, r.Prefixes))
	}
	var pieces []run
	if left, ok := r.within(time.Time{}, t); ok {
		left.Since, left.Split = r.Since, r.Split
		pieces = append(pieces, left)
	}
	pieces = append(pieces, mid)
	if right, ok := r.within(t, time.Time{}); ok {
		right.Split = r.Thinned
		pieces = append(pieces, right)
	}
	s.Runs = slices.Replace(s.Runs, i, i+1, pieces...)
}

// dropOldestRun forgets the oldest run of a session that changes address too
// often, and makes its slices final.
func (s *session) dropOldestRun() {
	old, next := s.Runs[0], &s.Runs[1]
	since := make([]time.Time, len(next.Prefixes))
	for i, p := range next.Prefixes {
		since[i] = next.From
		if j, ok := slices.BinarySearchFunc(old.Prefixes, p, netip.Prefix.Compare); ok {
			since[i] = old.From
			if old.Since != nil {
				since[i] = old.Since[j]
			} else if !old.From.After(s.FirstAt) && !s.start.At.IsZero() {
				since[i] = s.start.At
			}
		}
	}
	next.Since = since
	s.Runs = slices.Delete(s.Runs, 0, 1)
	s.settleUntil(next.From)
}

// settleUntil makes every slice that ended by t final.
func (s *session) settleUntil(t time.Time) {
	if !t.After(s.SettledUntil) {
		return
	}
	s.SettledUntil = t
	s.Emitted = slices.DeleteFunc(s.Emitted, func(e slice) bool { return !e.Open && !e.End.After(t) })
}
