package disclosure

import (
	"net/netip"
	"time"

	"griffier/api/reason"
	"griffier/schema"
	"griffier/schema/cgnat"
)

// Range is a prefix of the provider, or one that another provider uses, during
// [ValidFrom, ValidTo).
type Range struct {
	Prefix             netip.Prefix
	Provider           string // empty: our own
	CollectorIDs       []string
	ValidFrom, ValidTo time.Time
	// Translation, unless its algorithm is none, says who has which ports of the
	// range's addresses as long as it is valid.
	Translation cgnat.Parameters
}

// LineAccess says that a line had a pseudonym during [ValidFrom, ValidTo).
type LineAccess struct {
	LineID             string
	Ref                schema.AccessRef
	ValidFrom, ValidTo time.Time
}

// Evidence is everything that [Judge] looks at. Rows that do not touch the
// plan's interval or do not contain its address change nothing.
type Evidence struct {
	Ranges      []Range
	Assignments []schema.Assignment // latest versions only
	Coverage    []schema.Coverage   // latest versions only
	Lines       []LineAccess
	// ReadableFrom is the retention limit: rows that ended at or before it are
	// unreadable. A class that may not be read at all has the present here.
	ReadableFrom time.Time
	// Inside is the evidence for each of [InsideAddresses].
	Inside map[netip.Addr]Evidence
}

// Answer is the typed answer. LineID, Prefix, Source and Certainty are set for a
// MATCH of ATTRIBUTION only; Provider for OTHER_PROVIDER only.
type Answer struct {
	Reason     reason.Reason
	LineID     string
	Prefix     netip.Prefix // what the line held: the address itself, or a delegated prefix around it
	Sources    []schema.Source
	Certainty  schema.Certainty // the weakest of the rows
	Provider   string
	Candidates string // PORT_REQUIRED, AMBIGUOUS_PORT_REUSE: band of how many share the address or port; never who
	Covering   []string
	// Neighbours is the band of how many other lines had the address shortly before or
	// after the interval; empty: none. It is of a MATCH only.
	Neighbours string
	// Incomplete are the reasons for which a MATCH of a window may lack records.
	Incomplete []reason.Reason

	tellers []string // collectors whose rows name the line
}

// band returns a count band; exact counts of candidates never leave.
func band(n int) string {
	switch {
	case n <= 1:
		return "1"
	case n <= 10:
		return "2-10"
	case n <= 100:
		return "11-100"
	}
	return ">100"
}
