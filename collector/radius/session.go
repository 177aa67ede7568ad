package radius

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"griffier/schema"
)

// session is what the tracker remembers of one Acct-Session-Id of one NAS:
// living, or ended and kept for a while so that what arrives late is recognised.
type session struct {
	Key        string            `json:"key"`
	NASPort    string            `json:"nas_port,omitempty"`
	Multi      string            `json:"multi_session,omitempty"` // Acct-Multi-Session-Id
	Identifier schema.Identifier `json:"identifier"`
	Addresses  Addresses         `json:"addresses"`
	// StartedAt is observed, or computed from Acct-Session-Time, or, when
	// StartUnknown, merely when the session was first heard of.
	StartedAt    time.Time       `json:"started_at"`
	StartSeen    bool            `json:"start_seen,omitempty"`
	StartUnknown bool            `json:"start_unknown,omitempty"`
	LastSeenAt   time.Time       `json:"last_seen_at"`
	Interims     bool            `json:"interims,omitempty"`
	EndedAt      time.Time       `json:"ended_at,omitzero"` // zero while it lives
	EndCause     schema.EndCause `json:"end_cause,omitempty"`
	Counters     *counters       `json:"counters,omitempty"` // nil until told
}

func (s *session) ended() bool { return !s.EndedAt.IsZero() }

// sessionKey names a session for good: its NAS, the NAS's boot epoch as far as
// known, Acct-Session-Id, and when it was first known to have started. A NAS
// that counts its session ids from one after a reboot makes new keys.
func sessionKey(nas string, epoch time.Time, sessionID string, start time.Time) string {
	boot := int64(0)
	if !epoch.IsZero() {
		boot = epoch.UnixMilli()
	}
	return escapeKey(nas) + "|" + strconv.FormatInt(boot, 10) + "|" + escapeKey(sessionID) + "|" + strconv.FormatInt(start.UnixMilli(), 10)
}

// parseSessionKey is the inverse of sessionKey.
func parseSessionKey(key string) (nas, sessionID string, start time.Time, err error) {
	parts := strings.Split(key, "|")
	if len(parts) != 4 {
		return "", "", time.Time{}, errors.New("radius: session key: want four parts")
	}
	milli, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return "", "", time.Time{}, errors.New("radius: session key: start is not a number")
	}
	return unescapeKey(parts[0]), unescapeKey(parts[2]), time.UnixMilli(milli).UTC(), nil
}

var (
	keyEscaper   = strings.NewReplacer("%", "%25", "|", "%7C")
	keyUnescaper = strings.NewReplacer("%25", "%", "%7C", "|")
)

func escapeKey(s string) string   { return keyEscaper.Replace(s) }
func unescapeKey(s string) string { return keyUnescaper.Replace(s) }

// endCause maps Acct-Terminate-Cause (RFC 2866 §5.10).
func endCause(terminateCause uint32) schema.EndCause {
	switch terminateCause {
	case 2, 3, 8: // Lost Carrier, Lost Service, Port Error
		return schema.EndLostCarrier
	case 4, 5: // Idle Timeout, Session Timeout
		return schema.EndExpiry
	case 7, 11: // Admin Reboot, NAS Reboot
		return schema.EndNASReboot
	}
	return schema.EndRelease
}
