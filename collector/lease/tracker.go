package lease

import (
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// Reasons that [Tracker.Apply] gives besides those of [Message.Parse].
const (
	ReasonDirection    Reason = "direction"     // a reply from a subscriber, or a request towards one
	ReasonForgedServer Reason = "forged_server" // a reply from an address that a subscriber leases, or not from Servers
	ReasonNoBinding    Reason = "no_binding"    // OFFER, DISCOVER, INFORM and its ACK: nobody holds anything by it
	ReasonUnasked      Reason = "unasked"       // ACK or NAK that answers no REQUEST seen
	ReasonCopy         Reason = "copy"          // a second answer to one REQUEST, or a relay's copy of one
	ReasonNoLease      Reason = "no_lease"      // RELEASE, DECLINE or NAK about an address nobody holds
	ReasonGivenUp      Reason = "given_up"      // ACK of a REQUEST whose client has released the address since
	ReasonNotHolder    Reason = "not_holder"    // RELEASE or DECLINE by another client than the holder
	ReasonNoLeaseTime  Reason = "no_lease_time" // ACK without a usable option 51
	ReasonAddress      Reason = "address"       // ACK of an address that no client can hold
	ReasonLeasesFull   Reason = "leases_full"   // Config.MaxLeases reached
	ReasonNoClient     Reason = "no_client"     // neither a hardware address nor a client id
	ReasonRefused      Reason = "refused"       // the server or access concentrator said no
)

// Frame is one Ethernet frame seen on an access interface.
type Frame struct {
	At        time.Time
	Interface string
	// Direction is [schema.Up] for a frame from the subscribers and [schema.Down]
	// for one to them. Empty means unknown, as in a capture: then a request is
	// taken to be up and a reply down.
	Direction schema.Direction
	// Data is the frame from its destination address on, with its VLAN tags. It
	// may be reused after Apply.
	Data []byte
}

// Config says how a [Tracker] runs.
type Config struct {
	// VLANScoped says of an interface whether equal addresses in different VLANs
	// of it are different addresses. Default never.
	VLANScoped func(iface string) bool
	// IgnoreCircuitID keeps a client's option 82 from identifying its line, for
	// access networks that let clients write it.
	IgnoreCircuitID bool
	// SubscriberID has the subscriber-id of option 82 (RFC 3993) or DHCPv6 option 38
	// (RFC 4580) name the line before all else, whichever relay tells it. Otherwise
	// it does if an access node tells nothing better.
	SubscriberID bool
	// Servers, if not empty, are the only sources whose replies count.
	Servers []netip.Prefix
	// AnswerWithin is how long after a REQUEST its answer counts. Default 30 s.
	AnswerWithin time.Duration
	// MaxPending bounds the REQUESTs that await an answer; beyond it the oldest
	// are forgotten. Default 65,536.
	MaxPending int
	// MaxLeases bounds the leases remembered. Default 1,000,000 (about 500 bytes each).
	MaxLeases int
	// EchoSilence is after how long without an LCP echo from its host a PPPoE
	// session that had them is taken for lost. Several intervals of the slowest
	// echoes. Default 30 min.
	EchoSilence time.Duration
}

func (c *Config) setDefaults() {
	if c.VLANScoped == nil {
		c.VLANScoped = func(string) bool { return false }
	}
	if c.AnswerWithin == 0 {
		c.AnswerWithin = 30 * time.Second
	}
	if c.MaxPending == 0 {
		c.MaxPending = 1 << 16
	}
	if c.MaxLeases == 0 {
		c.MaxLeases = 1_000_000
	}
	if c.EchoSilence == 0 {
		c.EchoSilence = 30 * time.Minute
	}
}

// Tracker follows leases. It is not safe for concurrent use.
type Tracker struct {
	cfg     Config
	message Message
	leases  map[addressKey]*lease
	clients map[clientKey]addressKey // the one lease that a client holds
	pending map[exchangeKey]*exchange
	queue   []queued              // pending by time
	givenUp map[tenancy]time.Time // when, as far back as an answer may be on its way
	sweptAt time.Time
}

// NewTracker returns an empty Tracker.
func NewTracker(cfg Config) *Tracker {
	cfg.setDefaults()
	return &Tracker{
		cfg: cfg, leases: map[addressKey]*lease{}, clients: map[clientKey]addressKey{},
		pending: map[exchangeKey]*exchange{}, givenUp: map[tenancy]time.Time{},
	}
}

// Result is what a frame led to.
type Result struct {
	Observations []binding.Observation
	// Reason says why there are none; empty if the frame was used.
	Reason Reason
	// BadRelayInfo says that option 82 was malformed. The frame was used.
	BadRelayInfo bool
	// BadOptions counts DHCPv6 options that were malformed or too many and were
	// left out.
	BadOptions int
}

// place is where on the access network a client is.
type place struct {
	Interface    string
	Outer, Inner uint16
}

// addressKey is an address within its scope (see [binding.Observation.Scope]).
type addressKey struct {
	Scope   uint32
	Address netip.Addr
	VPN     string // DHCPv4 only, empty for the global one
}

// tenancy is an address and a client that had it.
type tenancy struct {
	addressKey
	client clientKey
}

// clientKey is a client at its place: the client key of RFC 2131 §4.2.
type clientKey struct {
	place
	Client string
}

// exchangeKey is what an answer has in common with its REQUEST.
type exchangeKey struct {
	place
	VPN    string
	XID    uint32
	CHAddr [16]byte
}

// via is how a REQUEST came: its ciaddr, and the relay as far as it tells.
type via struct {
	Client, Relay, Subnet netip.Addr
	ID                    string
}

// otherwise says whether a copy of one REQUEST came by one relay and by another.
func (v via) otherwise(w via) bool {
	return v.Client == w.Client && !v.Relay.IsUnspecified() && !w.Relay.IsUnspecified() && v != w
}

// exchange is a REQUEST and what became of it.
type exchange struct {
	client     clientKey
	identifier schema.Identifier
	circuit    bool       // identifier is the circuit-id
	address    netip.Addr // asked for
	via        via
	at         time.Time
	answered   bool
	rapid      bool // a DISCOVER with Rapid Commit (RFC 4039)
	bootp      bool // a BOOTREQUEST without a message type
}

type queued struct {
	key exchangeKey
	at  time.Time
}

// lease is an address held by a client.
type lease struct {
	client     clientKey
	key        string // session key
	identifier schema.Identifier
	circuit    bool
	expiresAt  time.Time // zero: never
}

func (l *lease) expired(at time.Time) bool {
	return !l.expiresAt.IsZero() && !at.Before(l.expiresAt)
}

// Apply takes in one frame. Frames come in the order of their times.
func (t *Tracker) Apply(f Frame) Result {
	t.forget(f.At)
	m := &t.message
	if reason := m.Parse(f.Data); reason != "" {
		return Result{Reason: reason}
	}
	result := t.apply(f, m)
	result.BadRelayInfo = m.BadRelayInfo
	return result
}

func (t *Tracker) apply(f Frame, m *Message) Result {
	if f.Direction != "" && (f.Direction == schema.Down) != m.Reply {
		return Result{Reason: ReasonDirection}
	}
	e := event{Message: m, at: f.At.UTC(), place: place{f.Interface, m.OuterVLAN, m.InnerVLAN}, vpn: t.vpnOf(m)}
	if t.cfg.VLANScoped(f.Interface) {
		e.scope = uint32(m.OuterVLAN)<<16 | uint32(m.InnerVLAN)
	}
	e.scope = scopeIn(e.vpn, e.scope)
	if m.HLen == 0 && len(m.ClientID()) == 0 {
		return Result{Reason: ReasonNoClient}
	}
	if m.Reply && t.forged(e) {
		return Result{Reason: ReasonForgedServer}
	}
	if m.Reply && m.VSSControl && e.vpn != "" {
		return Result{Reason: ReasonVPNIgnored}
	}
	switch {
	case !m.Reply && (m.Type == Request || m.Type == Discover && m.RapidCommit || m.Type == BOOTP):
		return t.request(e)
	case !m.Reply && m.Type == Release:
		return t.giveUp(e, m.ClientAddress)
	case !m.Reply && m.Type == Decline:
		return t.giveUp(e, m.RequestedAddress)
	case m.Reply && (m.Type == ACK || m.Type == BOOTP):
		return t.ack(e)
	case m.Reply && m.Type == NAK:
		return t.nak(e)
	}
	return Result{Reason: ReasonNoBinding}
}

// event is a message with when and where it was seen.
type event struct {
	*Message
	at    time.Time
	place place
	scope uint32
	vpn   string // hexadecimal
}

func (e event) exchangeKey() exchangeKey { return exchangeKey{e.place, e.vpn, e.XID, e.CHAddr} }

func (e event) clientKey() clientKey { return clientKey{e.place, inVPN(e.vpn, clientName(e.Message))} }

func (e event) addressKey(a netip.Addr) addressKey { return addressKey{e.scope, a, e.vpn} }

func (e event) via() via { return via{e.ClientAddress, e.Relay, e.Subnet, string(e.RelayID())} }

// forged says whether a reply cannot be a server's: a subscriber may send one
// to another, or to itself, through this router.
func (t *Tracker) forged(e event) bool {
	if l := t.leases[e.addressKey(e.Source)]; l != nil && !l.expired(e.at) {
		return true
	}
	if len(t.cfg.Servers) == 0 {
		return false
	}
	for _, p := range t.cfg.Servers {
		if p.Contains(e.Source) {
			return false
		}
	}
	return true
}

// forget drops REQUESTs that were not answered in time and, now and then,
// leases that have expired.
func (t *Tracker) forget(at time.Time) {
	for len(t.queue) > 0 && at.Sub(t.queue[0].at) > t.cfg.AnswerWithin {
		t.forgetOldest()
	}
	const sweepEvery = time.Minute
	if at.Sub(t.sweptAt) < sweepEvery {
		return
	}
	t.sweptAt = at
	for x, when := range t.givenUp {
		if at.Sub(when) > t.cfg.AnswerWithin {
			delete(t.givenUp, x)
		}
	}
	for a, l := range t.leases {
		if l.expired(at) {
			t.drop(a, l)
		}
	}
}

func (t *Tracker) forgetOldest() {
	q := t.queue[0]
	t.queue = t.queue[1:]
	if x := t.pending[q.key]; x != nil && x.at.Equal(q.at) {
		delete(t.pending, q.key)
	}
}

func (t *Tracker) drop(a addressKey, l *lease) {
	delete(t.leases, a)
	if t.clients[l.client] == a {
		delete(t.clients, l.client)
	}
}

// Len returns how many leases are remembered.
func (t *Tracker) Len() int { return len(t.leases) }
