// Package warrant decides about warrants and the tasks under them: what a
// warrant must hold, which legal basis permits which category of data, who must
// approve, and when everything ends.
//
// It is pure. A command is a function of the folded [State], the time, the
// caller and the request; it returns the [ledger.Draft] of the entry that is to
// be appended, or the [reason.Error] with which it refuses. The State changes
// by folding entries and by nothing else, so it can be rebuilt from the
// headers of the ledger alone, also when every case key was shredded: targets,
// reference, names and instants are only in the sealed bodies.
//
// Terms and states follow ETSI TS 103 120 (AuthorisationObject, LDTaskObject):
//
//	AWAITING_APPROVAL ── every seat taken ──> APPROVED <──> SUSPENDED
//	        │  ^                                 │ ^            ^ │
//	        │  └──── edit, extension ────────────┘ │            │ │
//	        │                      paper and second approval    │ paper
//	        └── oral order, legal officer ──> EMERGENCY_APPROVAL ┘ overdue
//
//	any of these ──> REJECTED (never approved), REVOKED (by us), CANCELLED (by the
//	authority), EXPIRED (by the clock): nothing follows, all stay readable.
//
// A content has a generation. Approvals, confirmations and executions are of one
// generation; an edit or an extension begins the next, and takes along those open
// tasks that could be asked, word for word, under the new content. The state at an
// instant is a function of the entries and that instant alone.
package warrant
