package lease

import (
	"math"
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// copyWithin is how soon after a REQUEST the same one again is a relay's copy
// and not a retransmission (RFC 2131 §4.1: 4 s ± 1 s at the least). What comes by
// another relay than the first is a copy however late.
const copyWithin = time.Second

// request remembers a REQUEST, or a DISCOVER with Rapid Commit, until its answer
// comes.
func (t *Tracker) request(e event) Result {
	key := e.exchangeKey()
	address := e.RequestedAddress // SELECTING, INIT-REBOOT
	if !e.ClientAddress.IsUnspecified() {
		address = e.ClientAddress // RENEWING, REBINDING
	}
	id, circuit := t.identify(e)
	x := t.pending[key]
	if x != nil && (e.at.Sub(x.at) < copyWithin || x.via.otherwise(e.via())) && x.address == address && x.client == e.clientKey() {
		if circuit && !x.circuit {
			x.identifier, x.circuit = id, true
		}
		return Result{Reason: ReasonCopy}
	}
	for len(t.queue) >= t.cfg.MaxPending {
		t.forgetOldest() // the newest is the likeliest to be answered
	}
	t.pending[key] = &exchange{
		client: e.clientKey(), identifier: id, circuit: circuit, address: address, via: e.via(), at: e.at,
		rapid: e.Type == Discover, bootp: e.Type == BOOTP,
	}
	t.queue = append(t.queue, queued{key, e.at})
	return Result{}
}

// answered returns the open exchange that e answers. The first answer counts: a
// client that has one ignores others (RFC 2131 §4.4, figure 5).
func (t *Tracker) answered(e event) (*exchange, Reason) {
	x := t.pending[e.exchangeKey()]
	if x == nil {
		return nil, ReasonUnasked
	}
	if x.answered {
		return nil, ReasonCopy
	}
	return x, ""
}

// ack binds an address to the client whose REQUEST it answers.
func (t *Tracker) ack(e event) Result {
	address := e.YourAddress
	if address.IsUnspecified() {
		return Result{Reason: ReasonNoBinding} // answers an INFORM (RFC 2131 §4.3.5)
	}
	if address.IsMulticast() || address.IsLoopback() || address == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Result{Reason: ReasonAddress}
	}
	if e.Type == ACK && (!e.HasLease || e.LeaseSeconds == 0) {
		return Result{Reason: ReasonNoLeaseTime}
	}
	x, reason := t.answered(e)
	at := e.addressKey(address)
	held := t.leases[at]
	if reason == ReasonUnasked && held != nil && !held.expired(e.at) && held.client == e.clientKey() {
		// The REQUEST was missed, but it is the holder's own lease that goes on.
		x, reason = &exchange{client: held.client, identifier: held.identifier, circuit: held.circuit, at: e.at}, ""
	}
	if reason == "" && (x.rapid && !e.RapidCommit || x.bootp != (e.Type == BOOTP)) {
		reason = ReasonUnasked // RFC 4039 §3.1: an ACK of a DISCOVER says so
	}
	if reason != "" {
		return Result{Reason: reason}
	}
	x.answered = true
	if when, is := t.givenUp[tenancy{at, x.client}]; is && x.at.Before(when) {
		// The server took the REQUEST in first and then the RELEASE, which its
		// answer crossed.
		return Result{Reason: ReasonGivenUp}
	}
	expires := expiry(e.at, e.LeaseSeconds)
	if !e.HasLease {
		expires = time.Time{} // RFC 1534 §2: a BOOTP client keeps its address
	}

	var out []binding.Observation
	if held != nil {
		switch {
		case held.expired(e.at):
			t.drop(at, held)
			held = nil
		case held.client != x.client || x.circuit && held.identifier != x.identifier:
			// Another client, or the same one on another line.
			out = append(out, t.endOf(at, held, e.at, schema.EndSuperseded))
			held = nil
		}
	}
	if held != nil {
		held.expiresAt = expires
		return Result{Observations: []binding.Observation{held.observe(at, binding.Refresh, e.at)}}
	}
	if before, ok := t.clients[x.client]; ok && before != at {
		if l := t.leases[before]; l != nil && !l.expired(e.at) {
			out = append(out, t.endOf(before, l, e.at, schema.EndSuperseded)) // moved
		}
	}
	if len(t.leases) >= t.cfg.MaxLeases {
		return Result{Observations: out, Reason: ReasonLeasesFull}
	}
	l := &lease{
		client: x.client, key: sessionKey(x.client, address, e.at),
		identifier: x.identifier, circuit: x.circuit, expiresAt: expires,
	}
	t.leases[at], t.clients[x.client] = l, at
	start := l.observe(at, binding.Start, e.at)
	start.SessionStartedAt = e.at
	return Result{Observations: append(out, start)}
}

// expiry is when a lease acknowledged at a time lapses; zero means never (RFC
// 2131 §3.3).
func expiry(at time.Time, seconds uint32) time.Time {
	if seconds == math.MaxUint32 {
		return time.Time{}
	}
	return at.Add(time.Duration(seconds) * time.Second)
}

// nak ends the lease that the refused REQUEST was about, if the client held it.
func (t *Tracker) nak(e event) Result {
	x, reason := t.answered(e)
	if reason == "" && (x.rapid || x.bootp) {
		reason = ReasonUnasked
	}
	if reason != "" {
		return Result{Reason: reason}
	}
	x.answered = true
	at := e.addressKey(x.address)
	l := t.leases[at]
	if l == nil || l.expired(e.at) || l.client != x.client {
		return Result{Reason: ReasonNoLease}
	}
	return Result{Observations: []binding.Observation{t.endOf(at, l, e.at, schema.EndRelease)}}
}

// giveUp ends the lease of address at the word of its client: a RELEASE, or a
// DECLINE of an address that turned out to be in use. Anyone may send either
// about any address, so only the holder's counts.
func (t *Tracker) giveUp(e event, address netip.Addr) Result {
	at := e.addressKey(address)
	l := t.leases[at]
	if l != nil && !l.expired(e.at) && l.client != e.clientKey() {
		return Result{Reason: ReasonNotHolder}
	}
	if len(t.givenUp) < t.cfg.MaxPending {
		t.givenUp[tenancy{at, e.clientKey()}] = e.at
	}
	if l == nil || l.expired(e.at) {
		return Result{Reason: ReasonNoLease}
	}
	return Result{Observations: []binding.Observation{t.endOf(at, l, e.at, schema.EndRelease)}}
}

// endOf ends a lease and forgets it.
func (t *Tracker) endOf(at addressKey, l *lease, when time.Time, cause schema.EndCause) binding.Observation {
	t.drop(at, l)
	o := l.observe(at, binding.End, when)
	o.EndCause, o.Prefixes, o.ExpiresAt = cause, nil, time.Time{}
	return o
}

func (l *lease) observe(at addressKey, kind binding.ObservationKind, when time.Time) binding.Observation {
	return binding.Observation{
		At: when, Kind: kind, Source: schema.SourceDHCPv4, Certainty: schema.CertaintyObserved,
		SessionKey: l.key, Identifier: l.identifier,
		NAS: l.client.Interface, NASPort: VLANStack(l.client.Outer, l.client.Inner), Scope: at.Scope,
		Prefixes: []netip.Prefix{netip.PrefixFrom(at.Address, 32)}, ExpiresAt: l.expiresAt,
	}
}
