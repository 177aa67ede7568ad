package binding

import (
	"fmt"
	"maps"
	"math/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"griffier/schema"

	"pgregory.net/rapid"
)

// truth is what one session really was. The model that it comes from knows nothing
// of Binding: addresses are handed out one after the other by two NASes, which
// report every ten minutes and sometimes restart, losing all sessions.
type truth struct {
	key, user, nas string
	address        netip.Prefix
	from, to       time.Time
	rebooted       bool // ended by a restart, so without a Stop
	total          uint64
}

const interimEvery = 10 * time.Minute

// network draws what happened in the 20 hours from 9:00 on, and what was sent of
// it, in order.
func network(t *rapid.T) (sessions []*truth, sent []Observation) {
	minutes := func(name string, from, to int) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Minute
	}
	for n := range 2 {
		nas := fmt.Sprint("nas", n)
		var reboots []time.Time
		for i := range rapid.IntRange(0, 2).Draw(t, "reboots") {
			// Never at the instant of a Start, which would not tell if that came after.
			reboots = append(reboots, at(9, 0).Add(minutes("reboot", 0, 900)+time.Duration(1+i)*20*time.Second))
		}
		for _, r := range reboots {
			sent = append(sent, Observation{At: r, Kind: NASReboot, Source: schema.SourceRADIUS, Certainty: schema.CertaintyInferred, NAS: nas})
		}
		for a := range rapid.IntRange(1, 2).Draw(t, "addresses") {
			now := at(9, 0)
			for range rapid.IntRange(1, 4).Draw(t, "sessions") {
				now = now.Add(minutes("idle", 1, 60))
				x := &truth{key: fmt.Sprint("k", len(sessions)), user: fmt.Sprint("user", rapid.IntRange(0, 4).Draw(t, "user")), nas: nas,
					address: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10*n + a)}), 32), from: now, to: now.Add(minutes("length", 1, 240))}
				for _, r := range reboots {
					if r.After(x.from) && r.Before(x.to) {
						x.to, x.rebooted = r, true
					}
				}
				now = x.to
				sessions = append(sessions, x)
				sent = append(sent, x.reports()...)
			}
		}
	}
	slices.SortStableFunc(sent, func(a, b Observation) int { return a.At.Compare(b.At) })
	return sessions, sent
}

// reports are what the NAS sends of the session.
func (x *truth) reports() (out []Observation) {
	report := func(kind ObservationKind, at time.Time) {
		o := start(x.key, x.user, at, x.address.String())
		o.NAS, o.Kind = x.nas, kind
		if kind != Start {
			x.total += 1000
			o.SessionStartedAt, o.Octets = x.from, &Octets{Up: x.total}
		}
		if kind == End {
			o.EndCause = schema.EndRelease
		}
		out = append(out, o)
	}
	report(Start, x.from)
	for at := x.from.Add(interimEvery); at.Before(x.to); at = at.Add(interimEvery) {
		report(Refresh, at)
	}
	if !x.rebooted {
		report(End, x.to)
	}
	return out
}

// Whatever of Start, interim updates, Stop and Accounting-On is lost, repeated,
// late or out of order: a session of which anything arrived is recorded with its
// true interval and line, or what is wrong is marked as inferred and never reaches
// beyond the next session of the address that was heard of or the limit of
// silence. Octets count once: as many as the most that was told.
func TestLossProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sessions, sent := network(t)
		loss := rapid.IntRange(0, 60).Draw(t, "loss in percent")
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		shuffled := rapid.Bool().Draw(t, "shuffled")
		var arrive []Observation
		told, heard := map[string]uint64{}, map[string]bool{}
		for _, o := range sent {
			if random.Intn(100) < loss {
				continue
			}
			arrive = append(arrive, o)
			if random.Intn(8) == 0 {
				arrive = append(arrive, o)
			}
			heard[o.SessionKey] = true
			if o.Octets != nil {
				told[o.SessionKey] = max(told[o.SessionKey], o.Octets.Up)
			}
		}
		b, s := newBinding(t), newStore(t)
		b.cfg.StaleAfter = 40 * time.Minute
		b.cfg.ReemitSlice = 2
		now := at(9, 0)
		if shuffled {
			random.Shuffle(len(arrive), func(i, j int) { arrive[i], arrive[j] = arrive[j], arrive[i] })
			now = at(29, 0) // all of it is past and late, but within the horizon
		}
		var deltas [][]byte
		step := func(e Effects) { s.add(e); deltas = append(deltas, e.Delta) }
		for i, o := range arrive {
			if !shuffled {
				now = o.At
			}
			step(b.Tick(now, Clock{}))
			step(b.Apply(now, o))
			if i%20 == 19 && random.Intn(3) == 0 { // a crash
				b = newBinding(t)
				b.cfg.StaleAfter, b.cfg.ReemitSlice = 40*time.Minute, 2
				if err := b.Restore(nil, deltas); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 8 { // all that lives goes stale
			now = now.Add(6 * time.Minute)
			step(b.Tick(now, Clock{}))
		}
		step(b.Stopped(now, Clock{}))
		judge(t, b, s, sessions, heard, told, loss == 0)
	})
}

// judge compares what is stored with what was.
func judge(t *rapid.T, b *Binding, s *store, sessions []*truth, heard map[string]bool, told map[string]uint64, complete bool) {
	type record struct {
		from, to time.Time
		sure     bool
	}
	have := map[schema.ID]*record{}
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		a, ok := s.rows[k].(*schema.Assignment)
		if !ok || !a.Open && a.EndedAt.Equal(a.StartedAt) {
			continue
		}
		r := have[a.SessionID]
		if r == nil {
			r = &record{from: a.StartedAt, to: a.EndedAt, sure: true}
			have[a.SessionID] = r
		}
		r.from = earliest(r.from, a.StartedAt)
		if a.EndedAt.After(r.to) {
			r.to = a.EndedAt
		}
		r.sure = r.sure && a.Certainty != schema.CertaintyInferred
		if a.Open {
			t.Fatalf("session %v is still open", a.SessionID)
		}
	}
	counted := map[schema.ID]uint64{}
	for _, u := range s.usage {
		counted[u.CounterID] += u.Bytes
	}
	for _, x := range sessions {
		id := b.cfg.Pseudonymiser.ID("session", b.cfg.CollectorID, string(schema.SourceRADIUS), x.key)
		r := have[id]
		switch {
		case counted[id] != told[x.key]:
			t.Fatalf("%s: %d octets counted, %d told, %d moved", x.key, counted[id], told[x.key], x.total)
		case r == nil && heard[x.key] && x.to.Sub(x.from) > 0:
			t.Fatalf("%s of %v to %v was heard of and is not recorded", x.key, x.from, x.to)
		case r == nil:
			continue
		case complete && (!r.from.Equal(x.from) || !r.to.Equal(x.to)):
			t.Fatalf("%s: nothing was lost, recorded from %v to %v, was from %v to %v", x.key, r.from, r.to, x.from, x.to)
		case r.sure && (!r.from.Equal(x.from) || !r.to.Equal(x.to)):
			t.Fatalf("%s: recorded as sure from %v to %v, was from %v to %v", x.key, r.from, r.to, x.from, x.to)
		case r.from.Before(x.from):
			t.Fatalf("%s: recorded from %v on, before it began at %v", x.key, r.from, x.from)
		case r.to.After(x.to.Add(40 * time.Minute)):
			t.Fatalf("%s: recorded until %v, long after its end at %v", x.key, r.to, x.to)
		}
	}
}
