package binding

import (
	"net/netip"
	"time"

	"griffier/schema"
)

// ObservationKind says what an [Observation] reports.
type ObservationKind uint8

// Kinds of observation.
const (
	// Start opens a session, or repeats an opening that was already seen.
	Start ObservationKind = iota + 1
	// Refresh says that the session still lives: a RADIUS interim update, a
	// renewed lease. It may change the prefixes that the session holds. A
	// Refresh of an unknown session opens it (its start was lost).
	Refresh
	// End closes the session. An End of an unknown session whose start is told
	// (SessionStartedAt) synthesises the whole session.
	End
	// NASReboot closes every session of NAS from the same Source that started
	// at or before At; SessionKey, Identifier and Prefixes are empty.
	NASReboot
	// Translation says what a translator did with ports of shared addresses, for
	// inside addresses: it is no session's, and a [Binding] keeps it for package
	// cgnat only.
	Translation
)

// String returns the kind's name, for metrics and test failures.
func (k ObservationKind) String() string {
	switch k {
	case Start:
		return "start"
	case Refresh:
		return "refresh"
	case End:
		return "end"
	case NASReboot:
		return "nas_reboot"
	case Translation:
		return "translation"
	}
	return "unknown"
}

// An Observation is what any source of bindings reports about one session: that
// it began, still lives or ended, at At, and which addresses it holds. It is a
// plain value; it is also what the spool keeps to rebuild a [Binding] after a
// crash, so its JSON form is stable.
type Observation struct {
	At        time.Time        `json:"at"` // when it happened, UTC; not when it arrived
	Kind      ObservationKind  `json:"kind"`
	Source    schema.Source    `json:"source"`
	Certainty schema.Certainty `json:"certainty"` // of At
	// SessionKey names the session within Source, the same in every observation
	// of it and never reused: for RADIUS "NAS|Acct-Session-Id|first start", for
	// DHCPv4 "interface|VLANs|client|address|first ACK".
	SessionKey string `json:"session_key,omitempty"`
	// Identifier is the access identifier, which becomes the access_ref. An
	// empty one on Refresh or End means unchanged.
	Identifier schema.Identifier `json:"identifier"`
	NAS        string            `json:"nas,omitempty"`      // NAS-Identifier, NAS-IP-Address or interface name
	NASPort    string            `json:"nas_port,omitempty"` // NAS-Port-Id or VLAN stack
	// Scope tells apart equal addresses in different VLANs of one interface; it
	// goes into the datapath key. 0 where addresses are unique. One that is no pair
	// of VLANs is a VPN (lease.InVPN), which the datapath does not know.
	Scope uint32 `json:"scope,omitempty"`
	// SessionStartedAt is the start as the source tells it (RADIUS: At minus
	// Acct-Session-Time), zero if unknown.
	SessionStartedAt time.Time `json:"session_started_at,omitzero"`
	// Prefixes are all the addresses the session holds from At on. Nil on a
	// Refresh or End means unchanged: sources often tell them once.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// ExpiresAt is when the lease lapses unless refreshed; zero means never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// EndCause says why, for End.
	EndCause schema.EndCause `json:"end_cause,omitempty"`
	// Octets are what the source itself counted of the session by At, nil if it
	// told nothing or nothing new.
	Octets *Octets `json:"octets,omitempty"`
	// Blocks are ports of shared addresses that were given or taken back at At.
	// A [Binding] leaves them to package cgnat.
	Blocks []PortBlock `json:"blocks,omitempty"`
}

// Octets are a session's totals as its source counts, such as a BNG in RADIUS
// accounting: cumulative, never less than told before. From is what there was when
// the session was first heard of, which belongs to no bucket.
type Octets struct {
	Up       uint64 `json:"up"`
	Down     uint64 `json:"down"`
	UpFrom   uint64 `json:"up_from,omitempty"`
	DownFrom uint64 `json:"down_from,omitempty"`
	// UpBase and DownBase are the part from before the source's counters began
	// again at zero; only the source itself needs them.
	UpBase   uint64 `json:"up_base,omitempty"`
	DownBase uint64 `json:"down_base,omitempty"`
}

// A PortBlock is a range of ports, both inclusive, of a shared address.
type PortBlock struct {
	Outside   netip.Addr `json:"outside"`
	Protocol  uint8      `json:"protocol,omitempty"` // IANA number; 0: every one
	PortStart uint16     `json:"port_start"`
	PortEnd   uint16     `json:"port_end"`
	Released  bool       `json:"released,omitempty"` // taken back, not given
	Inside    netip.Addr `json:"inside,omitzero"`    // who has it, in a Translation
}
