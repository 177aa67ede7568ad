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
// Terms and states follow ETSI TS 103 120 (AuthorisationObject, LDTaskObject).
package warrant
