package radius

import "time"

// A watch is a session to be looked at, so that one whose Stop was lost is
// forgotten in the end.
type watch struct {
	nas, sessionID, key string
	lookAt              time.Time
}

const (
	// watchEvery is how often a living session is looked at.
	watchEvery = 6 * time.Hour
	// watchedAtOnce bounds what one request may spend on it. A request adds two
	// watches at most, so the queue gets shorter.
	watchedAtOnce = 32
)

// watch has a session looked at from lookAt on.
func (t *Tracker) watch(nas, sessionID, key string, lookAt time.Time) {
	if t.cfg.StaleAfter > 0 {
		t.watches = append(t.watches, watch{nas, sessionID, key, lookAt})
	}
}

// silence is after how much silence a living session is forgotten: the binding
// ended it at StaleAfter, and what is late has had as long to come as after a Stop.
func (t *Tracker) silence() time.Duration { return t.cfg.StaleAfter + t.cfg.KeepEnded }

// forget drops ended sessions past their keeping time, and living ones of which
// nothing was heard for so long that they are over.
func (t *Tracker) forget(arrivedAt time.Time) {
	for len(t.tombs) > 0 && arrivedAt.Sub(t.tombs[0].arrivedAt) > t.cfg.KeepEnded {
		tomb := t.tombs[0]
		t.tombs = t.tombs[1:]
		t.drop(tomb.nas, tomb.sessionID, tomb.key, func(*session) bool { return true })
	}
	for range watchedAtOnce {
		if len(t.watches) == 0 || arrivedAt.Before(t.watches[0].lookAt) {
			return
		}
		w := t.watches[0]
		t.watches = t.watches[1:]
		living := false
		if t.drop(w.nas, w.sessionID, w.key, func(s *session) bool {
			living = !s.ended()
			return living && arrivedAt.Sub(s.LastSeenAt) > t.silence()
		}) {
			t.silent++
		} else if living {
			t.watch(w.nas, w.sessionID, w.key, arrivedAt.Add(watchEvery))
		}
	}
}

// drop forgets the session of that key, if it is remembered and over says so.
func (t *Tracker) drop(nas, sessionID, key string, over func(*session) bool) bool {
	n := t.nas[nas]
	if n == nil {
		return false
	}
	s := n.sessions[sessionID]
	if s == nil || s.Key != key || !over(s) {
		return false
	}
	n.leave(s)
	delete(n.sessions, sessionID)
	t.sessions--
	return true
}

// Len returns how many sessions are remembered, ended ones included.
func (t *Tracker) Len() int { return t.sessions }

// Silent returns how many sessions were forgotten without a Stop.
func (t *Tracker) Silent() uint64 { return t.silent }
