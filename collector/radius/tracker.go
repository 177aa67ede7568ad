package radius

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// Reasons that [Tracker.Apply] gives for a request that led to no observation.
const (
	ReasonOtherStatus  Reason = "other_status"    // Acct-Status-Type not about sessions; those that are known have a reason of their own
	ReasonPorts        Reason = "ports"           // a vendor's word on ports makes no sense; the rest of the request was used
	ReasonNoPorts      Reason = "no_ports"        // a translator's accounts of an inside address, without its ports
	ReasonNoIdentifier Reason = "no_identifier"   // nothing names the line
	ReasonLate         Reason = "late"            // older than what is known, or past the session's end
	ReasonBeforeBoot   Reason = "before_boot"     // interim of an unknown session from before its NAS's boot
	ReasonSessionsFull Reason = "sessions_full"   // TrackerConfig.MaxSessions or 65,536 NASes reached: not to be acknowledged
	ReasonFuture       Reason = "implausible_at"  // Event-Timestamp not believed; the request was used all the same
	ReasonQueued       Reason = "queued_too_long" // of an unknown session and older than MaxAge: it says nothing of the present
)

// otherStatus are the reasons for known status types that are not about sessions.
var otherStatus = map[Status]Reason{
	StatusTunnelStart:      "tunnel_start",
	StatusTunnelStop:       "tunnel_stop",
	StatusTunnelReject:     "tunnel_reject",
	StatusTunnelLinkStart:  "tunnel_link_start",
	StatusTunnelLinkStop:   "tunnel_link_stop",
	StatusTunnelLinkReject: "tunnel_link_reject",
	StatusFailed:           "failed",
}

// TrackerConfig bounds a [Tracker].
type TrackerConfig struct {
	// MaxAge is how old an Event-Timestamp may be to be believed. A NAS or proxy
	// may have kept a record for long, so default 24 h.
	MaxAge time.Duration
	// MaxAhead is how far in the future it may lie. Default 2 min.
	MaxAhead time.Duration
	// KeepEnded is how long an ended session is remembered, so that a late or
	// repeated request is not taken for a new session. Default 48 h.
	KeepEnded time.Duration
	// StaleAfter is how much silence ends a session, as in the binding's
	// configuration. After that and KeepEnded a session whose Stop was lost is
	// forgotten. 0: never.
	StaleAfter time.Duration
	// MaxSessions bounds the sessions remembered, ended ones included. Default
	// 2,000,000 (about 600 bytes each).
	MaxSessions int
}

func (c *TrackerConfig) setDefaults() {
	if c.MaxAge == 0 {
		c.MaxAge = 24 * time.Hour
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = 2 * time.Minute
	}
	if c.KeepEnded == 0 {
		c.KeepEnded = 48 * time.Hour
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 2_000_000
	}
}

// slack is how far two accounts of one instant may differ: whole seconds in
// each attribute, and a retransmission whose delay was rounded.
const slack = 10 * time.Second

// maxNAS bounds the NASes remembered.
const maxNAS = 1 << 16

// Tracker turns accounting requests into observations. It remembers every
// session, so that attributes told once stay told, a lost Start is made up for,
// and late requests extend nothing.
//
// Applying a request again gives observations with the same meaning, so a
// request that could not be made durable may simply be retransmitted. A Tracker
// is not safe for concurrent use.
type Tracker struct {
	cfg      TrackerConfig
	nas      map[string]*nas
	names    map[netip.Addr]string // NAS-Identifier by NAS address; "" once ambiguous
	sessions int
	tombs    []tomb  // ended sessions by time of arrival
	watches  []watch // the others, by when to look at them
	silent   uint64  // forgotten without a Stop
}

type nas struct {
	bootedAt time.Time // last Accounting-On or -Off
	sessions map[string]*session
	groups   map[string]*group // by Acct-Multi-Session-Id
}

type tomb struct {
	nas, sessionID, key string
	arrivedAt           time.Time
}

// NewTracker returns an empty Tracker.
func NewTracker(cfg TrackerConfig) *Tracker {
	cfg.setDefaults()
	return &Tracker{cfg: cfg, nas: map[string]*nas{}, names: map[netip.Addr]string{}}
}

// Result is what a request led to.
type Result struct {
	// Observations to make durable, in order.
	Observations []binding.Observation
	// Reason says why there are none, or what was odd; empty otherwise.
	Reason Reason
	// Refused says that the request must not be acknowledged.
	Refused bool
	// Skew is arrival less Acct-Delay-Time less Event-Timestamp, if the request is
	// Dated by the latter: what the NAS's clock is off by, or how long the record
	// lay on the way. One instant only goes into a record; this is what is left of
	// the other two.
	Skew  time.Duration
	Dated bool
}

// Apply takes in a request that arrived from source at arrivedAt.
func (t *Tracker) Apply(a Accounting, source netip.Addr, arrivedAt time.Time) Result {
	arrivedAt = arrivedAt.UTC()
	t.forget(arrivedAt)
	r := request{Accounting: a, nasName: t.nasName(a, source)}
	var odd Reason
	r.at, r.trusted = t.eventTime(a, arrivedAt)
	if !a.EventAt.IsZero() && !r.at.Equal(a.EventAt) {
		odd, r.doubtful = ReasonFuture, true
	}
	r.queued = t.queued(a, arrivedAt)
	r.identifier = identifier(a)
	r.arrivedAt = arrivedAt
	r.nas = t.nas[r.nasName]
	if r.nas == nil {
		if len(t.nas) >= maxNAS {
			return Result{Reason: ReasonSessionsFull, Refused: true}
		}
		r.nas = newNAS()
		t.nas[r.nasName] = r.nas
	}
	var result Result
	if a.BadPorts && odd == "" {
		odd = ReasonPorts
	}
	inside := nokiaInside(a.UserName)
	switch a.Status {
	case StatusOn, StatusOff:
		result = t.reboot(r)
	case StatusStart, StatusInterim, StatusStop:
		if inside.IsValid() {
			result = translated(r, inside)
			break
		}
		result = t.session(r)
	default:
		return Result{Reason: cmp.Or(otherStatus[a.Status], ReasonOtherStatus)}
	}
	if result.Reason == "" {
		result.Reason = odd
	}
	if result.Dated = !a.EventAt.IsZero(); result.Dated {
		result.Skew = arrivedAt.Add(-a.Delay).Sub(a.EventAt)
	}
	return result
}

// session takes in a request about a session.
func (t *Tracker) session(r request) Result {
	s := r.nas.sessions[r.SessionID]
	switch {
	case r.Status == StatusStart:
		return t.start(r, s)
	case r.partStop():
		r.Blocks = released(r.Blocks)
		return t.interim(r, s)
	case r.Status == StatusInterim:
		return t.interim(r, s)
	}
	return t.stop(r, s)
}

// request is a request with what the tracker worked out about it.
type request struct {
	Accounting
	nas        *nas
	nasName    string
	at         time.Time // when it happened
	trusted    bool      // at is the NAS's word, not merely the arrival
	arrivedAt  time.Time
	identifier schema.Identifier
	doubtful   bool      // at is computed, against the NAS's word
	queued     bool      // its event is longer past than is believed
	before     *counters // of the session that this one goes on with, nil normally
}

// maxSessionTime is how long a session may claim to have lasted.
const maxSessionTime = 2 * 366 * 24 * time.Hour

// startedAt is the session's start as computed from Acct-Session-Time. A
// session time of zero in anything but a Start says nothing, one of many years
// is a fault.
func (r request) startedAt() (time.Time, bool) {
	if !r.HasSessionTime || r.SessionTime == 0 || r.SessionTime > maxSessionTime {
		return time.Time{}, false
	}
	return r.at.Add(-r.SessionTime), true
}

// eventTime returns when a request's event happened, and whether the NAS said
// so: Event-Timestamp (RFC 2869 §5.3) if believable, else the arrival less
// Acct-Delay-Time.
func (t *Tracker) eventTime(a Accounting, arrivedAt time.Time) (at time.Time, trusted bool) {
	if !a.EventAt.IsZero() && a.EventAt.After(arrivedAt.Add(-t.cfg.MaxAge)) && a.EventAt.Before(arrivedAt.Add(t.cfg.MaxAhead)) {
		return a.EventAt, true
	}
	if a.Delay > t.cfg.MaxAge {
		return arrivedAt.Truncate(time.Millisecond), false
	}
	return arrivedAt.Add(-a.Delay).Truncate(time.Millisecond), a.HasDelay
}

// maxQueued is how long a record may have lain in a queue. An Event-Timestamp from
// before that is of a clock that was never set.
const maxQueued = 31 * 24 * time.Hour

// queued says whether a request is about a time so long past that it arrived by
// way of somebody's queue.
func (t *Tracker) queued(a Accounting, arrivedAt time.Time) bool {
	at := a.EventAt
	if at.IsZero() {
		at = arrivedAt.Add(-a.Delay)
	}
	age := arrivedAt.Sub(at)
	return age >= t.cfg.MaxAge && age < maxQueued
}

// NAS names the NAS of a request: NAS-Identifier, else the identifier that came
// with the same NAS-IP-Address before (a reboot often tells less than a session),
// else NAS-IP-Address, else the source address.
func (t *Tracker) NAS(a Accounting, source netip.Addr) string {
	if a.NASIdentifier != "" {
		return a.NASIdentifier
	}
	address := nasAddress(a, source)
	if name := t.names[address]; name != "" {
		return name
	}
	return address.String()
}

// nasName is NAS, and remembers which identifier goes with which address.
func (t *Tracker) nasName(a Accounting, source netip.Addr) string {
	if a.NASIdentifier != "" {
		address := nasAddress(a, source)
		if known, ok := t.names[address]; !ok && len(t.names) < maxNAS {
			t.names[address] = a.NASIdentifier
		} else if ok && known != a.NASIdentifier {
			t.names[address] = ""
		}
	}
	return t.NAS(a, source)
}

func nasAddress(a Accounting, source netip.Addr) netip.Addr {
	if a.NASAddress.IsValid() {
		return a.NASAddress
	}
	return source.Unmap()
}

func identifier(a Accounting) schema.Identifier {
	switch {
	case a.UserName != "":
		return schema.Identifier{Kind: schema.IdentRADIUSUser, Value: a.UserName}
	case len(a.CircuitID) > 0:
		return schema.Identifier{Kind: schema.IdentCircuit, Value: hex.EncodeToString([]byte(a.CircuitID))}
	case len(a.RemoteID) > 0:
		// As in DHCPv6, where it comes with the number of the vendor that defines it.
		return schema.Identifier{Kind: schema.IdentRemote, Value: "00000de9" + hex.EncodeToString([]byte(a.RemoteID))}
	}
	return schema.Identifier{}
}
