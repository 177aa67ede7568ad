package lease

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// Tracker6 follows DHCPv6 leases (RFC 8415): addresses (IA_NA, IA_TA) and
// delegated prefixes, each a session of its own because each has its own
// lifetime. It is not safe for concurrent use.
type Tracker6 struct {
	cfg     Config
	message Message6
	leases  map[leaseKey]*lease6
	lengths map[int]int // how many leases there are of each prefix length
	within  map[pppKey]map[leaseKey]struct{}
	pending map[exchangeKey6]*exchange6
	queue   []queued6 // pending by time
	sweptAt time.Time
}

// NewTracker6 returns an empty Tracker6.
func NewTracker6(cfg Config) *Tracker6 {
	cfg.setDefaults()
	return &Tracker6{
		cfg: cfg, leases: map[leaseKey]*lease6{}, lengths: map[int]int{},
		within: map[pppKey]map[leaseKey]struct{}{}, pending: map[exchangeKey6]*exchange6{},
	}
}

// leaseKey is a prefix within its scope (see [binding.Observation.Scope]).
type leaseKey struct {
	Scope  uint32
	Prefix netip.Prefix
}

// client6 is a DHCPv6 client at its place: RFC 8415 §11 tells clients apart by
// their DUID alone, but an access network must not let one line speak for another.
type client6 struct {
	place
	PPP  pppKey // within a PPPoE session: which; zero otherwise
	DUID string
}

// exchangeKey6 is what a reply has in common with the message it answers. A
// relay's copy of a message has it too.
type exchangeKey6 struct {
	client6
	XID uint32
}

// exchange6 is a client's message and what became of it.
type exchange6 struct {
	kind       Type6
	rapid      bool // a SOLICIT with Rapid Commit
	identifier schema.Identifier
	circuit    bool           // identifier is what the access node calls the line
	named      []netip.Prefix // what a RELEASE or DECLINE gives up
	via        via6
	at         time.Time
	answered   bool
}

type queued6 struct {
	key exchangeKey6
	at  time.Time
}

// via6 is the relay next to the client that a message came through, as far as it
// tells.
type via6 struct {
	Link netip.Addr
	ID   string
}

// times are what a server tells of a lease besides its valid lifetime, in seconds,
// 0xffffffff for ever. None ends it: T1 and T2 are when its client means to renew
// (0: when it likes), and an address past its preferred lifetime is still held.
type times struct {
	T1        uint32 `json:"t1,omitzero"`
	T2        uint32 `json:"t2,omitzero"`
	Preferred uint32 `json:"preferred,omitzero"`
}

// lease6 is an address or prefix held by a client.
type lease6 struct {
	client     client6
	key        string // session key
	identifier schema.Identifier
	circuit    bool
	expiresAt  time.Time // zero: never
	times      times     // as last told
}

func (l *lease6) expired(at time.Time) bool {
	return !l.expiresAt.IsZero() && !at.Before(l.expiresAt)
}

// event6 is a message with when and where it was seen.
type event6 struct {
	*Message6
	at     time.Time
	client client6
	scope  uint32
}

func (e event6) key() exchangeKey6 { return exchangeKey6{e.client, e.XID} }

func (e event6) via() via6 { return via6{e.LinkAddress, string(e.RelayID)} }

// Apply takes in one frame. Frames come in the order of their times. line names
// the line of a PPPoE session; nil or "" means that it is not known.
func (t *Tracker6) Apply(f Frame, line func(pppKey) schema.Identifier) Result {
	t.forget(f.At)
	m := &t.message
	if reason := m.Parse(f.Data); reason != "" {
		return Result{Reason: reason}
	}
	result := t.apply(f, m, line)
	result.BadOptions = m.BadOptions + m.Missed
	return result
}

func (t *Tracker6) apply(f Frame, m *Message6, line func(pppKey) schema.Identifier) Result {
	server := m.Type.fromServer()
	if f.Direction != "" && (f.Direction == schema.Down) != server {
		return Result{Reason: ReasonDirection}
	}
	if len(m.DUID) == 0 {
		return Result{Reason: ReasonNoClient}
	}
	p := place{f.Interface, m.OuterVLAN, m.InnerVLAN}
	e := event6{Message6: m, at: f.At.UTC(), client: client6{place: p, DUID: hex.EncodeToString(m.DUID)}}
	if m.PPPoESession != 0 {
		e.client.PPP = pppKey{p, m.Source, m.Destination, m.PPPoESession}
		if server {
			e.client.PPP = pppKey{p, m.Destination, m.Source, m.PPPoESession}
		}
	}
	if t.cfg.VLANScoped(f.Interface) {
		e.scope = uint32(m.OuterVLAN)<<16 | uint32(m.InnerVLAN)
	}
	if server && t.forged(e) {
		return Result{Reason: ReasonForgedServer}
	}
	switch m.Type {
	case Reply6:
		return t.reply(e)
	case Advertise6, Reconfigure6:
		return Result{Reason: ReasonNoBinding}
	}
	return t.ask(e, line)
}

// identify picks the access identifier of the line that a client message came
// from: what a layer-2 relay on the access node calls it (its link-address is
// unspecified, RFC 6221 §5.3.1; a router's interface-id names an interface with
// many lines behind it, but its subscriber-id counts if Config.SubscriberID says
// so), else the line of the PPPoE session, else the client's
// hardware address as seen or as told by its first relay, which is that of its
// DHCPv4 too, else its DUID.
func (t *Tracker6) identify(e event6, line func(pppKey) schema.Identifier) (id schema.Identifier, circuit bool) {
	if t.cfg.SubscriberID && !t.cfg.IgnoreCircuitID && len(e.Subscriber) > 0 {
		return SubscriberIdentifier(e.Subscriber), true
	}
	if e.Relays > 0 && e.LinkAddress.IsUnspecified() && !t.cfg.IgnoreCircuitID {
		if len(e.InterfaceID) > 0 {
			return CircuitIdentifier(e.InterfaceID), true
		}
		if len(e.RemoteID) > 0 {
			return RemoteIdentifier(e.RemoteID), true
		}
		if len(e.Subscriber) > 0 {
			return SubscriberIdentifier(e.Subscriber), true
		}
	}
	if e.PPPoESession != 0 && line != nil {
		if id := line(e.client.PPP); id.Value != "" {
			return id, id.Kind == schema.IdentCircuit
		}
	}
	p := e.client.place
	switch {
	case len(e.ClientMAC) > 0:
		return MACIdentifier(p.Interface, p.Outer, p.Inner, net.HardwareAddr(e.ClientMAC)), false
	case e.Relays == 0:
		return MACIdentifier(p.Interface, p.Outer, p.Inner, net.HardwareAddr(e.Source[:])), false
	}
	return DUIDIdentifier(p.Interface, p.Outer, p.Inner, e.DUID), false
}

// forged says whether a reply cannot be a server's: it comes from an address
// that a subscriber holds.
func (t *Tracker6) forged(e event6) bool {
	for bits := range t.lengths {
		p, err := e.IPSource.Prefix(bits)
		if err != nil {
			continue
		}
		if l := t.leases[leaseKey{e.scope, p}]; l != nil && !l.expired(e.at) {
			return true
		}
	}
	return false
}

// forget drops messages that were not answered in time and, now and then,
// leases that have expired.
func (t *Tracker6) forget(at time.Time) {
	for len(t.queue) > 0 && at.Sub(t.queue[0].at) > t.cfg.AnswerWithin {
		t.forgetOldest()
	}
	const sweepEvery = time.Minute
	if at.Sub(t.sweptAt) < sweepEvery {
		return
	}
	t.sweptAt = at
	for k, l := range t.leases {
		if l.expired(at) {
			t.drop(k, l)
		}
	}
}

func (t *Tracker6) forgetOldest() {
	q := t.queue[0]
	t.queue = t.queue[1:]
	if x := t.pending[q.key]; x != nil && x.at.Equal(q.at) {
		delete(t.pending, q.key)
	}
}

func (t *Tracker6) keep(k leaseKey, l *lease6) {
	if t.leases[k] == nil {
		t.lengths[k.Prefix.Bits()]++
	}
	t.leases[k] = l
	if ppp := l.client.PPP; ppp != (pppKey{}) {
		if t.within[ppp] == nil {
			t.within[ppp] = map[leaseKey]struct{}{}
		}
		t.within[ppp][k] = struct{}{}
	}
}

func (t *Tracker6) drop(k leaseKey, l *lease6) {
	delete(t.leases, k)
	if t.lengths[k.Prefix.Bits()]--; t.lengths[k.Prefix.Bits()] == 0 {
		delete(t.lengths, k.Prefix.Bits())
	}
	if held := t.within[l.client.PPP]; held != nil {
		delete(held, k)
		if len(held) == 0 {
			delete(t.within, l.client.PPP)
		}
	}
}

// Len returns how many leases are remembered.
func (t *Tracker6) Len() int { return len(t.leases) }

// DUIDIdentifier is the access identifier of a DHCPv6 client known by its DUID
// alone: one behind a relay that tells nothing else of it.
func DUIDIdentifier(iface string, outer, inner uint16, duid []byte) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentDUID, Value: iface + "/" + VLANStack(outer, inner) + "/" + hex.EncodeToString(duid)}
}

// RemoteIdentifier is the access identifier of a line whose access node inserts
// option 37 (RFC 4649) and no interface-id: enterprise number, then the id.
func RemoteIdentifier(remoteID []byte) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentRemote, Value: hex.EncodeToString(remoteID)}
}

// observe makes an observation about a lease.
func (l *lease6) observe(k leaseKey, kind binding.ObservationKind, when time.Time) binding.Observation {
	o := binding.Observation{
		At: when, Kind: kind, Source: schema.SourceDHCPv6, Certainty: schema.CertaintyObserved,
		SessionKey: l.key, Identifier: l.identifier,
		NAS: l.client.Interface, NASPort: VLANStack(l.client.Outer, l.client.Inner), Scope: k.Scope,
		Prefixes: []netip.Prefix{k.Prefix}, ExpiresAt: l.expiresAt,
	}
	if l.client.PPP.Session != 0 {
		o.NASPort += "/" + strconv.Itoa(int(l.client.PPP.Session))
	}
	return o
}
