package warrant

import (
	"time"

	"griffier/api/reason"
)

// Kinds of ledger entry that this package drafts. All but the last change the
// state that the fold rebuilds.
const (
	KindCreate     = "warrant.create"
	KindTaskCreate = "task.create"
	KindTaskIntent = "task.intent"
	KindTaskResult = "task.result"
	KindRelease    = "task.release"
	KindFetch      = "task.fetch"
	KindAbort      = "task.abort"
	KindRefuse     = "task.refuse"
	KindDestroy    = "task.destroy"
)

// Facts stand in the clear header, for ever: deadlines, states, hashes and the
// matrix's own words, never what a warrant is about.
//
// Revision is the number of entries that the warrant had taken in when the
// entry was decided. An entry decided on another revision lost a race and is
// ignored by the fold; ends are taken in regardless, since stopping is safe.
type createFacts struct {
	Basis         string     `json:"basis"`
	Categories    []Category `json:"categories"`
	ValidFrom     time.Time  `json:"valid_from"`
	ValidUntil    time.Time  `json:"valid_until"`
	PeriodFrom    time.Time  `json:"period_from"`    // of the validity that the basis limits
	ContentSHA256 string     `json:"content_sha256"` // salted
	DuplicateKey  string     `json:"duplicate_key"`  // keyed hash of authority, reference and basis
	DocumentKey   string     `json:"document_key"`   // keyed hash of the document that the content names
	Authority     string     `json:"authority"`      // its id in the registry: an office, no person
	Recipient     string     `json:"recipient"`      // fingerprint of its key
	Profile       string     `json:"profile"`        // by which it was judged
	ProfileSHA256 string     `json:"profile_sha256"` // of the signed text
	Terms
}

// newFacts are those of a new warrant. No edit changes whose it is.
type newFacts struct {
	createFacts
	Team string `json:"team,omitempty"`
}

type taskCreateFacts struct {
	Revision uint64   `json:"revision"`
	Category Category `json:"category"`
}

type intentFacts struct {
	Revision uint64 `json:"revision"`
	Attempt  uint32 `json:"attempt"`
}

// ResultFacts are the facts of a [KindTaskResult] entry, which a receipt proves.
type ResultFacts struct {
	Revision      uint64 `json:"revision"`
	Attempt       uint32 `json:"attempt"`
	IntentIndex   uint64 `json:"intent_index"`
	Answer        string `json:"answer"`
	PackageSHA256 string `json:"package_sha256"`
	PackageBytes  int64  `json:"package_bytes"`
	// Incomplete and Neighbours are as in [Outcome].
	Incomplete []reason.Reason `json:"incomplete,omitempty"`
	Neighbours string          `json:"neighbours,omitempty"`
}

type releaseFacts struct {
	Revision    uint64 `json:"revision"`
	Attempt     uint32 `json:"attempt"`
	ResultIndex uint64 `json:"result_index"`
}

type abortFacts struct {
	Attempt uint32 `json:"attempt"`
	Restart bool   `json:"restart"` // the server stopped between intent and release
}

type packageFacts struct {
	PackageSHA256 string `json:"package_sha256"`
}

// CreateBody is the sealed body of a warrant's first entry.
type CreateBody struct {
	Content Content `json:"content"`
	Salt    string  `json:"salt"`
}

// TaskBody is the sealed body of a task's first entry, and again of its intent.
type TaskBody struct {
	Target             string `json:"target"`  // [Target.String], without a port
	Instant            string `json:"instant"` // RFC 3339, as entered
	UncertaintySeconds uint32 `json:"uncertainty_seconds"`
	Port               uint32 `json:"port,omitempty"` // 1 to 65535; 0: not stated
	Protocol           uint32 `json:"protocol,omitempty"`
	// WindowEnd is the end of the window that Instant begins, exclusive, RFC 3339 as
	// entered, empty for the instant alone; HoldDays are of preservation tasks: the
	// days that the order asks for, 0 for all that the basis allows.
	WindowEnd string `json:"window_end,omitempty"`
	HoldDays  uint32 `json:"hold_days,omitempty"`
	// FromHold is the hold that the question is asked of; empty: the store itself.
	FromHold string `json:"from_hold,omitempty"`
	// How many lines and records may be disclosed; if there are more, nothing is.
	MaxSubjects uint32 `json:"max_subjects,omitempty"`
	MaxRecords  uint32 `json:"max_records,omitempty"`
}

// explanationBody is the sealed body of a rejection or revocation.
type explanationBody struct {
	Explanation string `json:"explanation"`
}
