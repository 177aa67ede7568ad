package binding

import (
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// A claim is one contiguous stretch during which a session held a prefix:
// [From, To), To zero while it lasts.
type claim struct {
	Prefix    netip.Prefix
	From      time.Time
	Certainty schema.Certainty // of From
	LastTold  time.Time        // the latest explicit mention

	until time.Time // when the prefix ceases to be the provider's; zero if never
	own   ending    // by the session's own facts
	end   ending    // own, or earlier if another session took the prefix over
}

func (c claim) live() bool { return c.end.At.IsZero() }

// derive computes start, own end and claims of a session from its facts.
func (b *Binding) derive(s *session, now time.Time) {
	switch {
	case !s.StartSeen.IsZero():
		s.start = ending{At: s.StartSeen, Certainty: s.StartCertainty}
	case !s.StartTold.IsZero():
		s.start = ending{At: s.StartTold, Certainty: schema.CertaintySynthesised}
	default:
		s.start = ending{At: s.FirstAt, Certainty: schema.CertaintyInferred}
	}
	s.own = b.ownEnd(s, now)
	s.end = s.own
	s.claims = s.claims[:0:0]
	if !s.Known {
		return
	}
	for i, r := range s.Runs {
		for j, p := range r.Prefixes {
			if i > 0 && contains(s.Runs[i-1].Prefixes, p) {
				continue
			}
			c := claim{Prefix: p, From: r.From, Certainty: schema.CertaintyObserved, LastTold: r.To}
			switch {
			case r.Since != nil:
				c.From = r.Since[j]
			case r.Split:
				c.Certainty = schema.CertaintyInferred
			case i == 0 && !r.From.After(s.FirstAt):
				// Told at the first sighting: held since the start.
				c.From, c.Certainty = s.start.At, s.start.Certainty
			}
			if c.From.Before(s.start.At) {
				c.From, c.Certainty = s.start.At, s.start.Certainty
			}
			c.own = s.own
			for _, later := range s.Runs[i+1:] {
				if !contains(later.Prefixes, p) {
					changed := ending{later.From, schema.EndRelease, schema.CertaintyObserved}
					if c.own.At.IsZero() || changed.At.Before(c.own.At) {
						c.own = changed
					}
					if later.Split { // it may have changed earlier
						c.own.Certainty = schema.CertaintyInferred
					}
					break
				}
				c.LastTold = later.To
			}
			if !c.own.At.IsZero() && c.From.After(c.own.At) {
				continue // told after the end: late, extends nothing
			}
			s.claims = append(s.claims, b.within(c, r.From, now)...)
		}
	}
	for _, c := range s.toldAtEnd() {
		s.claims = append(s.claims, b.within(c, c.own.At, now)...)
	}
}

// within cuts a claim to the time in which the prefix is the provider's own, as
// it is at told. If it was another's for a time and then told again, there are
// two.
func (b *Binding) within(c claim, told, now time.Time) (out []claim) {
	for {
		part := c
		from, to := b.ranges.window(c.Prefix, told)
		if from.After(part.From) {
			part.From, part.Certainty = from, weakest(part.Certainty, schema.CertaintySynthesised)
		}
		part.until = to
		if !to.IsZero() && !now.Before(to) && (part.own.At.IsZero() || to.Before(part.own.At)) {
			part.own = ending{to, schema.EndRelease, schema.CertaintySynthesised}
		}
		part.end = part.own
		if part.own.At.IsZero() || !part.From.After(part.own.At) {
			out = append(out, part)
		}
		if to.IsZero() || now.Before(to) || c.LastTold.Before(to) {
			return out
		}
		told = c.LastTold
	}
}

// toldAtEnd are the claims to prefixes that only the session's end named: held
// since the start if nothing else was told, else since the last telling.
func (s *session) toldAtEnd() (claims []claim) {
	if s.End == nil {
		return nil
	}
	from := s.start
	var told []netip.Prefix
	if n := len(s.Runs); n > 0 {
		told = s.Runs[n-1].Prefixes
		from = ending{At: s.Runs[n-1].To}
	}
	if len(s.Runs) > 0 || s.FirstAt.Before(s.own.At) {
		from.Certainty = schema.CertaintyInferred
	}
	for _, p := range s.EndTold {
		if !contains(told, p) && from.At.Before(s.own.At) {
			claims = append(claims, claim{Prefix: p, From: from.At, Certainty: from.Certainty, LastTold: from.At, own: s.own, end: s.own})
		}
	}
	return claims
}

func contains(sorted []netip.Prefix, p netip.Prefix) bool {
	_, ok := slices.BinarySearchFunc(sorted, p, netip.Prefix.Compare)
	return ok
}

// ownEnd is the end by the session's own facts: the end that was reported, else
// the first of a restart of its NAS that it was not seen after, the lapse of its
// lease, and the limit of silence.
func (b *Binding) ownEnd(s *session, now time.Time) ending {
	var end ending
	if s.End != nil {
		end = *s.End
	} else {
		for _, at := range b.reboots[nasKey{s.Key.Source, s.NAS}] {
			if !at.Before(s.start.At) && !at.Before(s.LastAt) {
				end = ending{at, schema.EndNASReboot, schema.CertaintyInferred}
				break
			}
		}
		if x := s.ExpiresAt; !x.IsZero() && !now.Before(x) && (end.At.IsZero() || x.Before(end.At)) {
			end = ending{x, schema.EndExpiry, schema.CertaintySynthesised}
		}
		if x := b.staleAt(s); !x.IsZero() && !now.Before(x) && (end.At.IsZero() || x.Before(end.At)) {
			end = b.staleEnd(s)
		}
	}
	if !end.At.IsZero() && end.At.Before(s.start.At) {
		end.At = s.start.At
	}
	return end
}

// resolve cuts the session's claims where a session of the same source that
// began later took the prefix, unless this one was told to hold it after that:
// then both claims stand, and readers see the conflict.
func (b *Binding) resolve(s *session) {
	s.end = s.own
	for i := range s.claims {
		c := &s.claims[i]
		c.end = c.own
		for _, other := range b.holders[claimKey{s.Key.Source, address{c.Prefix, s.Scope}}] {
			if other == s {
				continue
			}
			for _, rival := range other.claims {
				if rival.Prefix != c.Prefix || !rival.From.After(c.From) || c.LastTold.After(rival.From) ||
					rival.own.At.Equal(rival.From) {
					continue
				}
				if c.end.At.IsZero() || rival.From.Before(c.end.At) {
					c.end = ending{rival.From, schema.EndSuperseded, schema.CertaintyInferred}
				}
			}
		}
	}
	if s.End == nil {
		s.supersede()
	}
}

// supersede ends a session that lost everything it last held to newcomers.
func (s *session) supersede() {
	if len(s.Runs) == 0 {
		return
	}
	last := s.Runs[len(s.Runs)-1]
	var end ending
	for _, c := range s.claims {
		if c.LastTold.Before(last.To) {
			continue // given up earlier
		}
		if c.end.Cause != schema.EndSuperseded {
			return
		}
		if c.end.At.After(end.At) {
			end = c.end
		}
	}
	if !end.At.IsZero() && (s.end.At.IsZero() || end.At.Before(s.end.At)) {
		s.end = end
	}
}

func (b *Binding) index(s *session) {
	for _, c := range s.claims {
		k := claimKey{s.Key.Source, address{c.Prefix, s.Scope}}
		if !slices.Contains(b.holders[k], s) {
			b.holders[k] = append(b.holders[k], s)
		}
	}
}

func (b *Binding) unindex(s *session) {
	for _, c := range s.claims {
		k := claimKey{s.Key.Source, address{c.Prefix, s.Scope}}
		rest := slices.DeleteFunc(b.holders[k], func(x *session) bool { return x == s })
		if len(rest) == 0 {
			delete(b.holders, k)
			continue
		}
		b.holders[k] = rest
	}
}
