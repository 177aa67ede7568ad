package radius

import (
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// start handles Acct-Status-Type Start.
func (t *Tracker) start(r request, s *session) Result {
	switch {
	case s == nil:
		return t.open(r, binding.Start, r.at, nil)
	case s.ended() && (r.at.After(s.EndedAt) || otherLine(r, s)):
		return t.open(r, binding.Start, r.at, nil)
	case s.ended():
		return lateStart(r, s)
	case otherLine(r, s) || r.at.After(s.LastSeenAt.Add(slack)):
		// The NAS uses the session id again and never told of the end.
		return t.open(r, binding.Start, r.at, t.endInferred(r, s))
	}
	// A repeated Start, or one that an Interim-Update overtook.
	s.Addresses = s.Addresses.filled(r.Addresses)
	at := s.StartedAt
	if !s.StartSeen {
		at, s.StartSeen, s.StartUnknown = r.at, true, false
	}
	return Result{Observations: []binding.Observation{s.startObservation(r, at)}}
}

// lateStart handles a Start that arrives after its session's Stop: it extends
// nothing, but may tell what the Stop did not.
func lateStart(r request, s *session) Result {
	before := len(s.Addresses.prefixes())
	s.Addresses = s.Addresses.filled(r.Addresses)
	if !s.StartUnknown && len(s.Addresses.prefixes()) == before {
		return Result{Reason: ReasonLate}
	}
	if s.StartUnknown {
		s.StartedAt, s.StartSeen, s.StartUnknown = r.at, true, false
	}
	return Result{Observations: []binding.Observation{s.startObservation(r, s.StartedAt), s.endObservation(r)}}
}

// interim handles Acct-Status-Type Interim-Update.
func (t *Tracker) interim(r request, s *session) Result {
	started, told := r.startedAt()
	switch {
	case s == nil && !r.nas.bootedAt.IsZero() && !r.at.After(r.nas.bootedAt):
		return Result{Reason: ReasonBeforeBoot}
	case s == nil && r.queued:
		return Result{Reason: ReasonQueued}
	case s == nil:
		return t.open(r, binding.Refresh, started, nil)
	case s.ended() && s.EndCause == schema.EndNASReboot && r.trusted && r.at.After(s.EndedAt.Add(slack)):
		// It outlived the reboot that was announced: go on from there.
		if started.Before(s.EndedAt) {
			started = s.EndedAt
		}
		r.before = s.Counters
		return t.open(r, binding.Refresh, started, nil)
	case s.ended() && r.trusted && told && started.After(s.EndedAt):
		return t.open(r, binding.Refresh, started, nil)
	case s.ended():
		return Result{Reason: ReasonLate}
	case r.trusted && told && started.After(s.LastSeenAt.Add(slack)):
		return t.open(r, binding.Refresh, started, t.endInferred(r, s))
	case r.at.Before(s.LastSeenAt):
		s.Addresses = s.Addresses.filled(r.Addresses)
		return Result{Reason: ReasonLate}
	}
	odd := s.count(r)
	s.take(r)
	s.Interims = true
	return Result{Observations: []binding.Observation{s.observe(r, binding.Refresh, r.at)}, Reason: odd}
}

// stop handles Acct-Status-Type Stop.
func (t *Tracker) stop(r request, s *session) Result {
	started, told := r.startedAt()
	switch {
	case s == nil && r.queued:
		return Result{Reason: ReasonQueued}
	case s == nil,
		s.ended() && r.trusted && told && started.After(s.EndedAt):
		return t.open(r, binding.End, started, nil)
	case s.ended():
		// Repeated, or late news of a session that a reboot ended: the earlier
		// of the two ends is the one that was seen.
		if r.at.Before(s.EndedAt) && s.EndCause == schema.EndNASReboot && !r.at.Before(s.StartedAt) {
			s.EndedAt, s.EndCause = r.at, endCause(r.TerminateCause)
		}
		if c := s.Counters; c == nil || c.UpBase+r.BytesUp >= c.Up && c.DownBase+r.BytesDown >= c.Down {
			s.count(r) // what the reboot's session moved after its last interim
		}
		return Result{Observations: []binding.Observation{s.endObservation(r)}}
	case r.trusted && told && started.After(s.LastSeenAt.Add(slack)):
		return t.open(r, binding.End, started, t.endInferred(r, s))
	}
	odd := s.count(r)
	s.take(r)
	t.end(r, s, r.at, endCause(r.TerminateCause))
	return Result{Observations: []binding.Observation{s.endObservation(r)}, Reason: odd}
}

// partStop says whether a Stop is of some ports and not of the session: Nokia's
// translators take back a block that is not the subscriber's last by a Stop of the
// session that all its blocks share, unless each has a session of its own in a
// common Acct-Multi-Session-Id.
func (r request) partStop() bool {
	const portUnneeded = 12 // RFC 2866 §5.10
	return r.Status == StatusStop && r.nokia && r.TerminateCause == portUnneeded && r.MultiSession == ""
}

// translated handles accounts that a translator keeps of an inside address: it does
// not know whose that is, so they say nothing about who holds it.
func translated(r request, inside netip.Addr) Result {
	if len(r.Blocks) == 0 {
		return Result{Reason: ReasonNoPorts}
	}
	blocks := r.Blocks
	if r.Status == StatusStop {
		blocks = released(blocks)
	}
	for i := range blocks {
		blocks[i].Inside = inside
	}
	o := binding.Observation{
		At: r.at, Kind: binding.Translation, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
		SessionKey: escapeKey(r.nasName) + "|" + inside.String(), NAS: r.nasName, Blocks: blocks,
	}
	if r.doubtful {
		o.Certainty = schema.CertaintySynthesised
	}
	return Result{Observations: []binding.Observation{o}}
}

// reboot handles Accounting-On and -Off: every session of the NAS that started
// before is over, though nobody saw it end.
func (t *Tracker) reboot(r request) Result {
	if r.at.After(r.nas.bootedAt) {
		r.nas.bootedAt = r.at
	}
	for id, s := range r.nas.sessions {
		if !s.ended() && !s.StartedAt.After(r.at) {
			r.SessionID = id
			t.end(r, s, r.at, schema.EndNASReboot)
		}
	}
	return Result{Observations: []binding.Observation{{
		At: r.at, Kind: binding.NASReboot, Source: schema.SourceRADIUS,
		Certainty: schema.CertaintyInferred, NAS: r.nasName, EndCause: schema.EndNASReboot,
	}}}
}

// open makes a new session out of a request of the given kind. started is the
// start if known, zero if not. Observations in before come first.
func (t *Tracker) open(r request, kind binding.ObservationKind, started time.Time, before []binding.Observation) Result {
	if r.identifier.Value == "" {
		r.identifier = r.nas.line(r.MultiSession)
	}
	if r.identifier.Value == "" {
		return Result{Reason: ReasonNoIdentifier, Observations: before}
	}
	if t.sessions >= t.cfg.MaxSessions && r.nas.sessions[r.SessionID] == nil {
		return Result{Reason: ReasonSessionsFull, Refused: true}
	}
	s := &session{
		NASPort: r.NASPort, Identifier: r.identifier, Addresses: r.Addresses,
		StartedAt: started, StartSeen: kind == binding.Start, StartUnknown: started.IsZero(),
		LastSeenAt: r.at, Interims: kind == binding.Refresh,
	}
	if s.StartUnknown {
		s.StartedAt = r.at
	}
	s.Key = sessionKey(r.nasName, r.nas.bootedAt, r.SessionID, s.StartedAt)
	if old := r.nas.sessions[r.SessionID]; old == nil {
		t.sessions++
	} else {
		r.nas.leave(old)
	}
	r.nas.sessions[r.SessionID] = s
	r.nas.join(s, r.MultiSession)
	t.watch(r.nasName, r.SessionID, s.Key, r.arrivedAt.Add(watchEvery))
	if c := r.before; c != nil {
		s.Counters = &counters{Octets: c.Octets, PacketsUp: c.PacketsUp, PacketsDown: c.PacketsDown, Gigawords: c.Gigawords}
		s.Counters.UpFrom, s.Counters.DownFrom = c.Up, c.Down
	}
	s.count(r)
	if kind == binding.End {
		t.end(r, s, r.at, endCause(r.TerminateCause))
		return Result{Observations: append(before, s.endObservation(r))}
	}
	return Result{Observations: append(before, s.observe(r, kind, r.at))}
}

// end marks s as ended and schedules forgetting it.
func (t *Tracker) end(r request, s *session, at time.Time, cause schema.EndCause) {
	if at.Before(s.StartedAt) {
		at = s.StartedAt
	}
	s.EndedAt, s.EndCause = at, cause
	t.tombs = append(t.tombs, tomb{r.nasName, r.SessionID, s.Key, r.arrivedAt})
}

// endInferred ends s because its session id is in use again: at the last sign
// of life, or at the new use if the NAS never sends any.
func (t *Tracker) endInferred(r request, s *session) []binding.Observation {
	at := s.LastSeenAt
	if !s.Interims && r.at.After(at) {
		at = r.at
		if started, told := r.startedAt(); told && started.After(s.LastSeenAt) {
			at = started
		}
	}
	s.EndedAt, s.EndCause = at, schema.EndInferred
	return []binding.Observation{s.endObservation(r)}
}

// take updates the session from a request that is not older than it.
func (s *session) take(r request) {
	s.Addresses = s.Addresses.updated(r.Addresses)
	r.nas.join(s, r.MultiSession)
	if r.NASPort != "" {
		s.NASPort = r.NASPort
	}
	if r.at.After(s.LastSeenAt) {
		s.LastSeenAt = r.at
	}
}

// otherLine says whether a Start names another line than the session's.
func otherLine(r request, s *session) bool {
	return r.identifier.Value != "" && r.identifier != s.Identifier
}

// observe returns an observation of s with all that is known of it, so that
// each heals whatever an earlier one failed to tell. Its certainty is that of
// at; that a start was computed shows in SessionStartedAt.
func (s *session) observe(r request, kind binding.ObservationKind, at time.Time) binding.Observation {
	o := binding.Observation{
		At: at, Kind: kind, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
		SessionKey: s.Key, Identifier: s.Identifier, NAS: r.nasName, NASPort: s.NASPort,
		Prefixes: s.Addresses.prefixes(), Blocks: r.Blocks, Octets: s.octets(),
	}
	if !s.StartUnknown {
		o.SessionStartedAt = s.StartedAt
	}
	if r.doubtful {
		o.Certainty = schema.CertaintySynthesised
	}
	return o
}

// startObservation tells of a Start that came after other news of s. It names
// only the addresses that the Start itself named: what the session held then.
func (s *session) startObservation(r request, at time.Time) binding.Observation {
	o := s.observe(r, binding.Start, at)
	o.SessionStartedAt, o.Prefixes = at, r.Addresses.prefixes()
	return o
}

func (s *session) endObservation(r request) binding.Observation {
	o := s.observe(r, binding.End, s.EndedAt)
	o.EndCause = s.EndCause
	if s.EndCause == schema.EndInferred {
		o.Certainty = schema.CertaintyInferred
	}
	return o
}
