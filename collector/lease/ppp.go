package lease

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// Reasons that [TrackerPPP.Apply] gives.
const (
	ReasonNoSession Reason = "no_session" // of a PPPoE session whose start was not seen, or that is over
)

// TrackerPPP follows PPPoE sessions (RFC 2516): from the PADS that confirms one
// to the PADT, the LCP Terminate-Request, or the reuse of its id or address that
// ends it. What IPCP gives a subscriber is its address. It is not safe for
// concurrent use.
//
// A session whose PADS was not seen is not followed. One that dies without a word
// ends when its host's LCP echoes are missed for Config.EchoSilence, if its host
// echoed since the start and echoes are seen: in a capture they are, and the kernel
// copies them if asked to (bpf.PuntEcho). Else it stays open until its id or address
// is used again, or the access concentrator, which tests the link itself, says that
// it is over.
type TrackerPPP struct {
	cfg       Config
	message   MessagePPP
	sessions  map[pppKey]*pppSession
	addresses map[addressKey]pppKey
	pending   map[pppAsk]*pppRequest
	queue     []pppQueued // pending by time

	watches     []pppWatch             // sessions that echo, by when to look at them
	lost        map[pppKey]*pppSession // that do so no more
	lastAt      time.Time              // of the last frame
	seeingSince time.Time              // frames came without a long break
}

// NewTrackerPPP returns an empty TrackerPPP.
func NewTrackerPPP(cfg Config) *TrackerPPP {
	cfg.setDefaults()
	return &TrackerPPP{
		cfg: cfg, sessions: map[pppKey]*pppSession{}, addresses: map[addressKey]pppKey{}, pending: map[pppAsk]*pppRequest{},
		lost: map[pppKey]*pppSession{},
	}
}

// pppKey names a living session: ids are unique only between a host and an
// access concentrator (RFC 2516 §4).
type pppKey struct {
	place
	Host, AC [6]byte
	Session  uint16
}

// pppAsk is what a PADS has in common with the PADR it answers.
type pppAsk struct {
	place
	Host     [6]byte
	HostUniq string
}

type pppRequest struct {
	identifier schema.Identifier
	circuit    bool
	at         time.Time
}

type pppQueued struct {
	key pppAsk
	at  time.Time
}

type pppSession struct {
	key        string // session key
	scope      uint32
	identifier schema.Identifier
	confirmed  time.Time
	address    netip.Addr // held, invalid if none

	// The host's last IPCP and IPV6CP Configure-Request, which an Ack must match
	// (RFC 1661 §5.2).
	wanted   netip.Addr
	wantedID uint8
	asked4   bool
	asked6   bool
	id6      uint8

	echoedAt time.Time // when its host last showed that it lives; zero if never
}

// Apply takes in one frame. Frames come in the order of their times. Sessions
// that ended are returned, so that what was leased within them can end too.
func (t *TrackerPPP) Apply(f Frame) (Result, []pppKey) {
	ends, lost := t.silent(f.At.UTC())
	result, over := t.apply(f)
	result.Observations = append(ends, result.Observations...)
	return result, append(lost, over...)
}

func (t *TrackerPPP) apply(f Frame) (Result, []pppKey) {
	for len(t.queue) > 0 && f.At.Sub(t.queue[0].at) > t.cfg.AnswerWithin {
		t.forgetOldest()
	}
	m := &t.message
	if reason := m.Parse(f.Data); reason != "" {
		return Result{Reason: reason}, nil
	}
	e := eventPPP{m, f.At.UTC(), place{f.Interface, m.OuterVLAN, m.InnerVLAN}, f.Direction}
	switch {
	case m.Code == PADR && e.direction != schema.Down:
		return t.request(e), nil
	case m.Code == PADS && e.direction != schema.Up:
		return t.confirm(e)
	case m.Code == PADR || m.Code == PADS:
		return Result{Reason: ReasonDirection}, nil
	case m.Code == PADI || m.Code == PADO:
		return Result{Reason: ReasonNoBinding}, nil
	}
	key, s, fromHost := t.find(e)
	if s == nil {
		if r, found := t.found(e); found {
			return r, nil
		}
	}
	switch {
	case s == nil:
		if m.Code == PADT {
			delete(t.lost, key)
			delete(t.lost, pppKey{e.place, e.Source, e.Destination, e.Session})
		}
		return Result{Reason: ReasonNoSession}, nil
	case e.direction != "" && fromHost != (e.direction == schema.Up):
		return Result{Reason: ReasonDirection}, nil
	case m.Code == PADT, m.Protocol == pppLCP && m.terminates():
		return Result{Observations: []binding.Observation{t.endOf(key, s, e.at, schema.EndRelease)}}, []pppKey{key}
	case m.echoes() && fromHost:
		return t.echo(e, key, s), nil
	case m.Protocol == pppIPCP && m.terminates():
		return t.closeIPv4(e, key, s), nil
	case m.Protocol == pppIPCP:
		return t.ipcp(e, key, s, fromHost)
	case m.Protocol == pppIPV6CP:
		return t.ipv6cp(e, key, s, fromHost), nil
	}
	return Result{Reason: ReasonNoBinding}, nil
}

type eventPPP struct {
	*MessagePPP
	at        time.Time
	place     place
	direction schema.Direction
}

// find returns the session of a frame, and whether its host sent it.
func (t *TrackerPPP) find(e eventPPP) (key pppKey, s *pppSession, fromHost bool) {
	up := pppKey{e.place, e.Source, e.Destination, e.Session}
	if s := t.sessions[up]; s != nil {
		return up, s, true
	}
	down := pppKey{e.place, e.Destination, e.Source, e.Session}
	return down, t.sessions[down], false
}

// request remembers a PADR until its PADS comes.
func (t *TrackerPPP) request(e eventPPP) Result {
	key := pppAsk{e.place, e.Source, string(e.HostUniq)}
	x := &pppRequest{at: e.at}
	p := e.place
	switch {
	case len(e.CircuitID) > 0 && !t.cfg.IgnoreCircuitID:
		x.identifier, x.circuit = CircuitIdentifier(e.CircuitID), true
	case len(e.RemoteID) > 0 && !e.BadTags && !t.cfg.IgnoreCircuitID:
		x.identifier, x.circuit = RemoteIdentifier(append(adslForum[:], e.RemoteID...)), true
	default:
		x.identifier = MACIdentifier(p.Interface, p.Outer, p.Inner, net.HardwareAddr(e.Source[:]))
	}
	for len(t.queue) >= t.cfg.MaxPending {
		t.forgetOldest()
	}
	t.pending[key] = x
	t.queue = append(t.queue, pppQueued{key, e.at})
	return Result{BadRelayInfo: e.BadTags}
}

func (t *TrackerPPP) forgetOldest() {
	q := t.queue[0]
	t.queue = t.queue[1:]
	if x := t.pending[q.key]; x != nil && x.at.Equal(q.at) {
		delete(t.pending, q.key)
	}
}

// confirm opens the session that a PADS confirms.
func (t *TrackerPPP) confirm(e eventPPP) (Result, []pppKey) {
	x := t.pending[pppAsk{e.place, e.Destination, string(e.HostUniq)}]
	if x == nil {
		return Result{Reason: ReasonUnasked}, nil
	}
	if e.Session == 0 || e.Refused {
		return Result{Reason: ReasonRefused}, nil // RFC 2516 §5.4
	}
	key := pppKey{e.place, e.Destination, e.Source, e.Session}
	var out []binding.Observation
	var over []pppKey
	if old := t.sessions[key]; old != nil {
		if !old.asked4 && !old.asked6 && e.at.Sub(old.confirmed) <= t.cfg.AnswerWithin {
			return Result{Reason: ReasonCopy}, nil // the PADS again, for a PADR sent again
		}
		out, over = append(out, t.inferred(key, old, e.at)), append(over, key)
	}
	if len(t.sessions) >= t.cfg.MaxLeases {
		return Result{Observations: out, Reason: ReasonLeasesFull}, over
	}
	delete(t.lost, key)
	s := &pppSession{key: sessionKeyPPP(key, e.at), identifier: x.identifier, confirmed: e.at}
	if t.cfg.VLANScoped(e.place.Interface) {
		s.scope = uint32(e.OuterVLAN)<<16 | uint32(e.InnerVLAN)
	}
	t.sessions[key] = s
	start := s.observe(key, binding.Start, e.at)
	start.SessionStartedAt = e.at
	return Result{Observations: append(out, start)}, over
}

// ipcp binds the address that the access concentrator acknowledges to the host:
// the other direction is the concentrator's own address.
func (t *TrackerPPP) ipcp(e eventPPP, key pppKey, s *pppSession, fromHost bool) (Result, []pppKey) {
	switch {
	case fromHost && e.Control == configureRequest:
		s.asked4, s.wanted, s.wantedID = true, e.Address, e.ID
		return Result{}, nil
	case fromHost || e.Control != configureAck:
		return Result{Reason: ReasonNoBinding}, nil
	case !s.asked4 || e.ID != s.wantedID || e.Address != s.wanted:
		return Result{Reason: ReasonUnasked}, nil
	case !e.Address.IsValid():
		return Result{Reason: ReasonNoBinding}, nil // unnumbered
	case e.Address.IsUnspecified() || e.Address.IsMulticast() || e.Address.IsLoopback():
		return Result{Reason: ReasonAddress}, nil
	}
	at := addressKey{Scope: s.scope, Address: e.Address}
	var out []binding.Observation
	var over []pppKey
	if other, held := t.addresses[at]; held && other != key {
		out = append(out, t.endOf(other, t.sessions[other], e.at, schema.EndSuperseded))
		over = append(over, other)
	}
	if s.address.IsValid() && s.address != e.Address {
		delete(t.addresses, addressKey{Scope: s.scope, Address: s.address})
	}
	s.address = e.Address
	t.addresses[at] = key
	return Result{Observations: append(out, s.observe(key, binding.Refresh, e.at))}, over
}

// closeIPv4 takes the address away from a session that goes on without: the
// observations of it so far end, and new ones begin.
func (t *TrackerPPP) closeIPv4(e eventPPP, key pppKey, s *pppSession) Result {
	if !s.address.IsValid() {
		return Result{Reason: ReasonNoBinding}
	}
	end := t.endOf(key, s, e.at, schema.EndRelease)
	rest := &pppSession{
		key: sessionKeyPPP(key, e.at), scope: s.scope, identifier: s.identifier, confirmed: e.at,
		asked6: s.asked6, id6: s.id6,
	}
	t.sessions[key] = rest
	start := rest.observe(key, binding.Start, e.at)
	start.SessionStartedAt = e.at
	return Result{Observations: []binding.Observation{end, start}}
}

// ipv6cp notes that IPv6 is open. The interface identifier is that of a
// link-local address; what the line may use besides comes by DHCPv6, RADIUS or
// configuration.
func (t *TrackerPPP) ipv6cp(e eventPPP, key pppKey, s *pppSession, fromHost bool) Result {
	switch {
	case fromHost && e.Control == configureRequest:
		s.asked6, s.id6 = true, e.ID
		return Result{}
	case fromHost || e.Control != configureAck:
		return Result{Reason: ReasonNoBinding}
	case !s.asked6 || e.ID != s.id6:
		return Result{Reason: ReasonUnasked}
	}
	return Result{Observations: []binding.Observation{s.observe(key, binding.Refresh, e.at)}}
}

// line names the line of a session; empty if it is not known.
func (t *TrackerPPP) line(key pppKey) schema.Identifier {
	if s := t.sessions[key]; s != nil {
		return s.identifier
	}
	return schema.Identifier{}
}

// Len returns how many sessions are open.
func (t *TrackerPPP) Len() int { return len(t.sessions) }

func (t *TrackerPPP) endOf(key pppKey, s *pppSession, when time.Time, cause schema.EndCause) binding.Observation {
	t.drop(key, s)
	o := s.observe(key, binding.End, when)
	o.EndCause, o.Prefixes = cause, nil
	return o
}

// inferred ends a session whose id is in use again: nobody saw it end.
func (t *TrackerPPP) inferred(key pppKey, s *pppSession, when time.Time) binding.Observation {
	o := t.endOf(key, s, when, schema.EndInferred)
	o.Certainty = schema.CertaintyInferred
	return o
}

func (t *TrackerPPP) drop(key pppKey, s *pppSession) {
	delete(t.sessions, key)
	if at := (addressKey{Scope: s.scope, Address: s.address}); t.addresses[at] == key {
		delete(t.addresses, at)
	}
}

func (s *pppSession) observe(key pppKey, kind binding.ObservationKind, when time.Time) binding.Observation {
	o := binding.Observation{
		At: when, Kind: kind, Source: schema.SourcePPPoE, Certainty: schema.CertaintyObserved,
		SessionKey: s.key, Identifier: s.identifier, Scope: s.scope,
		NAS: key.Interface, NASPort: VLANStack(key.Outer, key.Inner) + "/" + strconv.Itoa(int(key.Session)),
	}
	if s.address.IsValid() {
		o.Prefixes = []netip.Prefix{netip.PrefixFrom(s.address, 32)}
	}
	return o
}
