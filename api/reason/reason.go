package reason

import "google.golang.org/grpc/codes"

// Reason is the stable name of an answer or a refusal.
type Reason string

// Answers to a disclosure task. Exactly one is given; none is ever a best guess.
const (
	Match              Reason = "MATCH"
	NoMatch            Reason = "NO_MATCH"
	RetentionElapsed   Reason = "RETENTION_ELAPSED"
	NotOurRange        Reason = "NOT_OUR_RANGE"
	CoverageGap        Reason = "COVERAGE_GAP"
	PortRequired       Reason = "PORT_REQUIRED"
	AmbiguousBoundary  Reason = "AMBIGUOUS_BOUNDARY"
	AmbiguousPortReuse Reason = "AMBIGUOUS_PORT_REUSE"
	DataConflict       Reason = "DATA_CONFLICT"
	OtherProvider      Reason = "OTHER_PROVIDER"
	Preserved          Reason = "PRESERVED"
	DataNotHeld        Reason = "DATA_NOT_HELD"
)

// Refusals: the request was understood and is not granted.
const (
	WarrantIncomplete      Reason = "WARRANT_INCOMPLETE"
	DuplicateWarrant       Reason = "DUPLICATE_WARRANT"
	AuthorityNotEntitled   Reason = "AUTHORITY_NOT_ENTITLED"
	NoLegalCompulsion      Reason = "NO_LEGAL_COMPULSION"
	CategoryExceedsBasis   Reason = "CATEGORY_EXCEEDS_BASIS"
	RCAuthorisationMissing Reason = "RC_AUTHORISATION_MISSING"
	WindowExceedsWarrant   Reason = "WINDOW_EXCEEDS_WARRANT"
	TargetNotSpecific      Reason = "TARGET_NOT_SPECIFIC"
	MaxHits                Reason = "MAX_HITS"
	TimeZoneMissing        Reason = "TIME_ZONE_MISSING"
	TimeAmbiguousDST       Reason = "TIME_AMBIGUOUS_DST"
	TimeNonexistentDST     Reason = "TIME_NONEXISTENT_DST"
	SelfApproval           Reason = "SELF_APPROVAL"
	GenerationMismatch     Reason = "GENERATION_MISMATCH"
	WarrantExpired         Reason = "WARRANT_EXPIRED"
	WarrantTerminal        Reason = "WARRANT_TERMINAL"
	LedgerUnavailable      Reason = "LEDGER_UNAVAILABLE"
	UnknownOutcome         Reason = "UNKNOWN_OUTCOME"
	ClockUntrusted         Reason = "CLOCK_UNTRUSTED"
	SchemaInvalid          Reason = "SCHEMA_INVALID"
	ConflictOfInterest     Reason = "CONFLICT_OF_INTEREST"
	PolicyRefused          Reason = "POLICY_REFUSED"
	AdviceMissing          Reason = "ADVICE_MISSING"
	ProposalEnded          Reason = "PROPOSAL_ENDED"
	ContractRunning        Reason = "CONTRACT_RUNNING"
	WarrantSuspended       Reason = "WARRANT_SUSPENDED"
	NoticePending          Reason = "NOTICE_PENDING"
	DownloadUsed           Reason = "DOWNLOAD_USED"
	PackageRecalled        Reason = "PACKAGE_RECALLED"
	TimestampUnavailable   Reason = "TIMESTAMP_UNAVAILABLE"
	RecipientUnfit         Reason = "RECIPIENT_UNFIT"
	DocumentRefused        Reason = "DOCUMENT_REFUSED"
	DocumentReplayed       Reason = "DOCUMENT_REPLAYED"
	EntryMismatch          Reason = "ENTRY_MISMATCH"
	TooRecent              Reason = "TOO_RECENT"
)

// Transport reasons: the request never reached a decision about data.
const (
	Unauthenticated  Reason = "UNAUTHENTICATED"
	PermissionDenied Reason = "PERMISSION_DENIED"
	NotFound         Reason = "NOT_FOUND"
	StepUpRequired   Reason = "STEP_UP_REQUIRED"
	CodeInvalid      Reason = "CODE_INVALID"
	EnrolmentRefused Reason = "ENROLMENT_REFUSED"
	NotConfigured    Reason = "NOT_CONFIGURED"
	RateLimited      Reason = "RATE_LIMITED"
	InvalidRequest   Reason = "INVALID_REQUEST"
	StoreUnavailable Reason = "STORE_UNAVAILABLE"
	Internal         Reason = "INTERNAL"
)

// Group is the chapter of the catalogue that a reason stands in.
type Group string

// The three groups.
const (
	Answers   Group = "Answers"
	Refusals  Group = "Refusals"
	Transport Group = "Transport"
)

// Exit is an exit status of the griffier command.
type Exit int

// Exit statuses.
const (
	ExitOK         Exit = 0
	ExitFailed     Exit = 1
	ExitUsage      Exit = 2
	ExitRetry      Exit = 3
	ExitDenied     Exit = 4
	ExitNotCovered Exit = 5 // not covered, expired, or not decidable from what is kept
)

// Entry is what the catalogue says about a reason.
type Entry struct {
	Reason  Reason
	Group   Group
	Meaning string     // one line
	Cure    string     // what the caller can do
	Code    codes.Code // gRPC status when the reason is given as an error
	Exit    Exit       // of the griffier command
}

// Entry returns the catalogue's entry of r, or that of [Internal] when r is not
// in the catalogue.
func (r Reason) Entry() Entry {
	e, ok := byReason[r]
	if !ok {
		return byReason[Internal]
	}
	return e
}

// Known reports whether r is in the catalogue.
func (r Reason) Known() bool { _, ok := byReason[r]; return ok }

var byReason = func() map[Reason]Entry {
	m := make(map[Reason]Entry, len(Catalogue))
	for _, e := range Catalogue {
		m[e.Reason] = e
	}
	return m
}()
