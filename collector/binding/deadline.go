package binding

import (
	"container/heap"
	"time"

	"griffier/schema"
)

// staleAt is when a session that nothing is heard of any more counts as ended;
// zero if never. Only RADIUS sessions have no lapse of their own.
func (b *Binding) staleAt(s *session) time.Time {
	if b.cfg.StaleAfter <= 0 || s.Key.Source != schema.SourceRADIUS || s.End != nil || s.LastAt.IsZero() {
		return time.Time{}
	}
	return s.LastAt.Add(b.cfg.StaleAfter)
}

// stale reports whether the session ended for want of news.
func (b *Binding) stale(s *session) bool {
	return s.own.Cause == schema.EndInferred && s.End == nil
}

// staleEnd is how such a session ended: when it was last heard of. A NAS that
// sends no interim updates says nothing between Start and Stop, so there it is
// not known to have ended before the limit.
func (b *Binding) staleEnd(s *session) ending {
	at := s.LastAt
	if !s.Refreshed {
		at = b.staleAt(s)
	}
	return ending{at, schema.EndInferred, schema.CertaintyInferred}
}

// deadline is when time alone next changes a live session; zero if never.
func (b *Binding) deadline(s *session) time.Time {
	var at time.Time
	if !s.live() {
		return at
	}
	at = earliest(s.ExpiresAt, b.staleAt(s))
	for _, c := range s.claims {
		if c.live() {
			at = earliest(at, c.until)
		}
	}
	return at
}

// earliest returns the earlier of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// deadlines is a heap of sessions by a time that is no later than their
// deadline. A deadline that moves on, as a lease's does at each renewal, costs
// nothing until the old one has come.
type deadlines []deadlineEntry

type deadlineEntry struct {
	at time.Time
	s  *session
}

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *deadlines) Push(x any)        { *d = append(*d, x.(deadlineEntry)) }
func (d *deadlines) Pop() any {
	old := *d
	x := old[len(old)-1]
	old[len(old)-1] = deadlineEntry{}
	*d = old[:len(old)-1]
	return x
}

// await makes sure that a tick looks at s when its deadline comes.
func (b *Binding) await(s *session) {
	at := b.deadline(s)
	if at.IsZero() || !s.awaited.IsZero() && !at.Before(s.awaited) {
		return
	}
	s.awaited = at
	heap.Push(&b.deadlines, deadlineEntry{at, s})
}

// nextDeadline is a time before which no session's deadline comes; zero if none
// has any.
func (b *Binding) nextDeadline() time.Time {
	if len(b.deadlines) == 0 {
		return time.Time{}
	}
	return b.deadlines[0].at
}

// due takes out the sessions whose deadline has come.
func (b *Binding) due(now time.Time) (out []*session) {
	for len(b.deadlines) > 0 && !now.Before(b.deadlines[0].at) {
		entry := heap.Pop(&b.deadlines).(deadlineEntry)
		s := entry.s
		if !s.awaited.Equal(entry.at) || b.sessions[s.Key] != s {
			continue // an earlier deadline came in between, or it is forgotten
		}
		s.awaited = time.Time{}
		if at := b.deadline(s); !at.IsZero() && !now.Before(at) {
			out = append(out, s)
		} else {
			b.await(s)
		}
	}
	return out
}
