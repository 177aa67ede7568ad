package lease

import (
	"encoding/json"
	"errors"
	"fmt"

	"griffier/collector/binding"
)

// Follower follows every protocol by which an access interface shows who holds
// what: DHCPv4, DHCPv6 and PPPoE. It is not safe for concurrent use.
type Follower struct {
	v4  *Tracker
	v6  *Tracker6
	ppp *TrackerPPP
}

// NewFollower returns a Follower that knows of nobody.
func NewFollower(cfg Config) *Follower {
	return &Follower{NewTracker(cfg), NewTracker6(cfg), NewTrackerPPP(cfg)}
}

// Protocol names what a frame belongs to, for metrics.
type Protocol string

// Protocols.
const (
	DHCPv4     Protocol = "dhcpv4"
	DHCPv6     Protocol = "dhcpv6"
	PPPoE      Protocol = "pppoe"
	NoneOfThem Protocol = "none"
)

// Apply takes in one frame, whichever protocol it is of, and says which. Frames
// come in the order of their times.
func (f *Follower) Apply(frame Frame) (Result, Protocol) {
	l, rest, reason := readLink(frame.Data)
	if reason != "" {
		return Result{Reason: reason}, NoneOfThem
	}
	switch l.EtherType {
	case ethertypeIPv6:
		return f.v6.Apply(frame, f.ppp.line), DHCPv6
	case ethertypePPPoESession:
		_, _, payload, reason := readPPPoE(rest)
		if reason != "" {
			return Result{Reason: reason}, PPPoE
		}
		if protocol, _, _ := readPPP(payload); protocol == pppIPv6 {
			return f.v6.Apply(frame, f.ppp.line), DHCPv6
		}
		return f.pppoe(frame), PPPoE
	case ethertypePPPoEDiscovery:
		return f.pppoe(frame), PPPoE
	}
	return f.v4.Apply(frame), DHCPv4
}

// pppoe follows a PPPoE frame. With a session ends what was leased within it.
func (f *Follower) pppoe(frame Frame) Result {
	result, over := f.ppp.Apply(frame)
	if len(over) == 0 {
		return result
	}
	var ends []binding.Observation
	for i, key := range over {
		cause := result.Observations[i].EndCause // ends come first, in this order
		for _, o := range f.v6.endWithin(key, result.Observations[i].At, cause) {
			o.Certainty = result.Observations[i].Certainty
			ends = append(ends, o)
		}
	}
	result.Observations = append(ends, result.Observations...)
	return result
}

// Len returns how many leases and sessions are remembered.
func (f *Follower) Len() int { return f.v4.Len() + f.v6.Len() + f.ppp.Len() }

// followerState is the JSON form of a Follower. One made before there was
// DHCPv6 and PPPoE is a Tracker's alone.
type followerState struct {
	V4  json.RawMessage `json:"dhcpv4"`
	V6  json.RawMessage `json:"dhcpv6"`
	PPP json.RawMessage `json:"pppoe"`
}

// Snapshot returns the state for [Follower.Restore].
func (f *Follower) Snapshot() ([]byte, error) {
	var s followerState
	var err error
	if s.V4, err = f.v4.Snapshot(); err != nil {
		return nil, err
	}
	if s.V6, err = f.v6.Snapshot(); err != nil {
		return nil, err
	}
	if s.PPP, err = f.ppp.Snapshot(); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// Restore replaces the state by a snapshot, of a Follower or of a [Tracker]. On
// error the Follower is unusable.
func (f *Follower) Restore(snapshot []byte) error {
	var s followerState
	if err := json.Unmarshal(snapshot, &s); err != nil {
		return fmt.Errorf("lease: restore: %w", err)
	}
	if s.V4 == nil && s.V6 == nil && s.PPP == nil {
		return f.v4.Restore(snapshot)
	}
	return errors.Join(f.v4.Restore(s.V4), f.v6.Restore(s.V6), f.ppp.Restore(s.PPP))
}

// Redo brings the Follower up to an observation that it made before a crash:
// those since the snapshot, in their order. Those that the snapshot already
// holds do no harm; other sources are ignored.
func (f *Follower) Redo(o binding.Observation) error {
	return errors.Join(f.v4.Redo(o), f.v6.Redo(o), f.ppp.Redo(o))
}
