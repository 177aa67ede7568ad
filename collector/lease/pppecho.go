package lease

import (
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// PPP control codes by which a host shows that it lives (RFC 1661 §5.8).
const (
	echoRequest = 9
	echoReply   = 10
)

const (
	// echoesWatched is how often a session that echoes is looked at.
	echoesWatched = time.Minute
	// blindAfter is how long no frame at all may come before it is not known who
	// was silent: the hosts, or the way to here.
	blindAfter = 10 * time.Minute
	// keepLost is how long one that is taken for lost may be found again.
	keepLost = 48 * time.Hour
)

// A pppWatch is a session to be looked at.
type pppWatch struct {
	key     pppKey
	session string // its session key
	lookAt  time.Time
}

// echo notes that a session's host lives. A host that never echoed is not missed:
// whether a link is tested at all is up to both ends.
func (t *TrackerPPP) echo(e eventPPP, key pppKey, s *pppSession) Result {
	if s.echoedAt.IsZero() {
		t.watches = append(t.watches, pppWatch{key, s.key, e.at.Add(echoesWatched)})
	}
	s.echoedAt = e.at
	return Result{Reason: ReasonNoBinding}
}

// silent ends the sessions whose hosts echoed and do so no more: when they last
// did, inferred. They come first in their order, with their keys.
func (t *TrackerPPP) silent(now time.Time) (ends []binding.Observation, over []pppKey) {
	if now.Sub(t.lastAt) > blindAfter {
		t.seeingSince = now
	}
	t.lastAt = now
	for len(t.watches) > 0 && !now.Before(t.watches[0].lookAt) {
		w := t.watches[0]
		t.watches = t.watches[1:]
		again := pppWatch{w.key, w.session, now.Add(echoesWatched)}
		if s := t.lost[w.key]; s != nil && s.key == w.session {
			if now.Sub(s.echoedAt) < keepLost {
				t.watches = append(t.watches, again)
			} else {
				delete(t.lost, w.key)
			}
			continue
		}
		s := t.sessions[w.key]
		if s == nil || s.key != w.session {
			continue
		}
		if now.Sub(s.echoedAt) < t.cfg.EchoSilence || now.Sub(t.seeingSince) < t.cfg.EchoSilence {
			t.watches = append(t.watches, again)
			continue
		}
		end := t.endOf(w.key, s, s.echoedAt, schema.EndLostCarrier)
		end.Certainty = schema.CertaintyInferred
		ends, over = append(ends, end), append(over, w.key)
		if len(t.lost) < t.cfg.MaxLeases {
			t.lost[w.key] = s
			t.watches = append(t.watches, again)
		}
	}
	return ends, over
}

// found goes on with a session that was taken for lost, when its host echoes again.
func (t *TrackerPPP) found(e eventPPP) (Result, bool) {
	key := pppKey{e.place, e.Source, e.Destination, e.Session}
	s := t.lost[key]
	if s == nil || e.direction == schema.Down || !e.echoes() {
		return Result{}, false
	}
	delete(t.lost, key)
	if len(t.sessions) >= t.cfg.MaxLeases {
		return Result{Reason: ReasonLeasesFull}, true
	}
	again := &pppSession{
		key: sessionKeyPPP(key, e.at), scope: s.scope, identifier: s.identifier, confirmed: e.at,
		asked4: s.asked4, wanted: s.wanted, wantedID: s.wantedID, asked6: s.asked6, id6: s.id6,
	}
	if at := (addressKey{Scope: s.scope, Address: s.address}); s.address.IsValid() {
		if _, held := t.addresses[at]; !held { // else it is another's by now
			again.address = s.address
			t.addresses[at] = key
		}
	}
	t.sessions[key] = again
	t.echo(e, key, again)
	start := again.observe(key, binding.Start, e.at)
	start.SessionStartedAt = e.at
	return Result{Observations: []binding.Observation{start}}, true
}

func (m *MessagePPP) echoes() bool {
	return m.Protocol == pppLCP && (m.Control == echoRequest || m.Control == echoReply)
}
