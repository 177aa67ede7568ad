package schema

import "time"

// KindAccessLog is the kind of [AccessLogEntry], which the api makes.
const KindAccessLog Kind = "access_log"

// An AccessLogEntry says that somebody read, or was refused, traffic data
// through an rpc whose audit class is the access log. It expires as a row of
// class access_log, counted from HappenedAt.
type AccessLogEntry struct {
	EntryID    ID          `json:"entry_id"`
	HappenedAt time.Time   `json:"happened_at"`
	Actor      string      `json:"actor"` // pseudonym of the caller, never a name
	Role       string      `json:"role"`
	Action     string      `json:"action"`  // the rpc
	Outcome    string      `json:"outcome"` // "OK" or the reason of the refusal
	RequestID  string      `json:"request_id"`
	AccessRefs []AccessRef `json:"access_refs"` // of the lines that were read
	RowsRead   uint64      `json:"rows_read"`
}

// Kind implements [Record].
func (*AccessLogEntry) Kind() Kind { return KindAccessLog }

// Class implements [Record].
func (*AccessLogEntry) Class() Class { return ClassAccessLog }
