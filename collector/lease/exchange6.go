package lease

import (
	"slices"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// ask remembers a client's message until its answer comes.
func (t *Tracker6) ask(e event6, line func(pppKey) schema.Identifier) Result {
	switch e.Type {
	case InformationRequest6:
		return Result{Reason: ReasonNoBinding} // asks for no lease
	case Solicit6:
		if !e.RapidCommit {
			return Result{Reason: ReasonNoBinding}
		}
	}
	key := e.key()
	id, circuit := t.identify(e, line)
	x := t.pending[key]
	otherRelay := x != nil && e.Relays > 0 && x.via.Link.IsValid() && x.via != e.via()
	if x != nil && (e.at.Sub(x.at) < copyWithin || otherRelay) && x.kind == e.Type {
		// A relay's copy may tell what the message itself did not.
		if better(id, circuit, x.identifier, x.circuit) {
			x.identifier, x.circuit = id, circuit
		}
		return Result{Reason: ReasonCopy}
	}
	for len(t.queue) >= t.cfg.MaxPending {
		t.forgetOldest()
	}
	x = &exchange6{kind: e.Type, rapid: e.Type == Solicit6, identifier: id, circuit: circuit, via: e.via(), at: e.at}
	if e.Type == Release6 || e.Type == Decline6 {
		for _, l := range e.Leases() {
			x.named = append(x.named, l.Prefix)
		}
	}
	t.pending[key] = x
	t.queue = append(t.queue, queued6{key, e.at})
	return Result{}
}

// better orders two identifiers told of one message: the access node's word,
// then a hardware address.
func better(a schema.Identifier, circuit bool, than schema.Identifier, thanCircuit bool) bool {
	if circuit != thanCircuit {
		return circuit
	}
	return than.Kind == schema.IdentDUID && a.Kind == schema.IdentMAC
}

// reply handles a REPLY, which alone gives leases and takes them back.
func (t *Tracker6) reply(e event6) Result {
	x := t.pending[e.key()]
	if x == nil {
		if x = t.ownRenewal(e); x == nil {
			return Result{Reason: ReasonUnasked}
		}
	}
	switch {
	case x.answered:
		return Result{Reason: ReasonCopy} // the first answer counts
	case x.rapid && !e.RapidCommit:
		return Result{Reason: ReasonUnasked} // RFC 8415 §18.2.1: such a REPLY says so
	case e.Status != statusSuccess:
		x.answered = true
		return Result{Reason: ReasonRefused}
	}
	x.answered = true
	switch x.kind {
	case Confirm6:
		return Result{Reason: ReasonNoBinding} // RFC 8415 §18.2.10.2: still right, or not; no lifetimes
	case Release6, Decline6:
		return t.givenUp(e, x)
	}
	out := Result{Reason: ReasonNoLease}
	for _, told := range e.Leases() {
		one := t.told(e, x, told)
		out.Observations = append(out.Observations, one.Observations...)
		if one.Reason == "" || out.Reason == ReasonNoLease {
			out.Reason = one.Reason
		}
	}
	if len(out.Observations) > 0 {
		out.Reason = ""
	}
	return out
}

// ownRenewal stands in for a RENEW that was missed: a REPLY that names nothing
// but what its client holds lets those leases go on.
func (t *Tracker6) ownRenewal(e event6) *exchange6 {
	var x *exchange6
	for _, told := range e.Leases() {
		l := t.leases[leaseKey{e.scope, told.Prefix}]
		if l == nil || l.expired(e.at) || l.client != e.client || told.ValidSeconds == 0 {
			return nil
		}
		x = &exchange6{kind: Renew6, identifier: l.identifier, circuit: l.circuit, at: e.at}
	}
	return x
}

// told handles one address or prefix in a REPLY.
func (t *Tracker6) told(e event6, x *exchange6, told Lease6) Result {
	k := leaseKey{e.scope, told.Prefix}
	held := t.leases[k]
	if held != nil && held.expired(e.at) {
		t.drop(k, held)
		held = nil
	}
	if told.ValidSeconds == 0 {
		if held == nil || held.client != e.client {
			return Result{Reason: ReasonNoLease}
		}
		return Result{Observations: []binding.Observation{t.endOf(k, held, e.at, schema.EndExpiry)}}
	}
	if told.Refused {
		return Result{Reason: ReasonRefused}
	}
	var expires time.Time
	of := times{told.T1Seconds, told.T2Seconds, told.PreferredSeconds}
	if told.ValidSeconds != infinite6 {
		expires = e.at.Add(time.Duration(told.ValidSeconds) * time.Second)
	}
	var out []binding.Observation
	if held != nil && (held.client != e.client || x.circuit && held.identifier != x.identifier) {
		// Another client, or the same one on another line.
		out = append(out, t.endOf(k, held, e.at, schema.EndSuperseded))
		held = nil
	}
	if held != nil {
		held.expiresAt, held.times = expires, of
		return Result{Observations: []binding.Observation{held.observe(k, binding.Refresh, e.at)}}
	}
	if len(t.leases) >= t.cfg.MaxLeases {
		return Result{Observations: out, Reason: ReasonLeasesFull}
	}
	l := &lease6{
		client: e.client, key: sessionKey6(e.client, told.Prefix, e.at),
		identifier: x.identifier, circuit: x.circuit, expiresAt: expires, times: of,
	}
	t.keep(k, l)
	start := l.observe(k, binding.Start, e.at)
	start.SessionStartedAt = e.at
	return Result{Observations: append(out, start)}
}

// givenUp ends what a RELEASE or DECLINE named, once the server confirmed it
// with a REPLY of its own that names no lease at all. Anyone may name any
// address, so only the holder's word counts.
func (t *Tracker6) givenUp(e event6, x *exchange6) Result {
	reason := ReasonNoLease
	var out []binding.Observation
	for _, p := range x.named {
		k := leaseKey{e.scope, p}
		l := t.leases[k]
		if l == nil || l.expired(e.at) {
			continue
		}
		if l.client != e.client {
			reason = ReasonNotHolder
			continue
		}
		out = append(out, t.endOf(k, l, e.at, schema.EndRelease))
	}
	if len(out) > 0 {
		reason = ""
	}
	return Result{Observations: out, Reason: reason}
}

// endWithin ends every lease that was given within a PPPoE session, which is over.
func (t *Tracker6) endWithin(ppp pppKey, when time.Time, cause schema.EndCause) (out []binding.Observation) {
	keys := make([]leaseKey, 0, len(t.within[ppp]))
	for k := range t.within[ppp] {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b leaseKey) int { return a.Prefix.Compare(b.Prefix) })
	for _, k := range keys {
		if l := t.leases[k]; !l.expired(when) {
			out = append(out, t.endOf(k, l, when, cause))
		}
	}
	return out
}

func (t *Tracker6) endOf(k leaseKey, l *lease6, when time.Time, cause schema.EndCause) binding.Observation {
	t.drop(k, l)
	o := l.observe(k, binding.End, when)
	o.EndCause, o.Prefixes, o.ExpiresAt = cause, nil, time.Time{}
	return o
}
