// Package authority is the registry of the authorities that may order a
// disclosure: who they are, which offices they hold, what each may use, on which
// number they are called back, and to which keys their packages are sealed.
//
// It is a fold over the ledger. A record is proposed by a legal officer and comes
// into force when a privacy controller, another person, approves exactly what was
// proposed. A key is added by one person and counts once another has compared its
// fingerprint with the authority, on the number in the registry. Taking away
// (revoking a key, retiring an authority) takes one person: to stop is safe.
//
// # What stands in the clear
//
// A record is about an office and stands in clear headers, which never go: its
// name must not be a person's. A contact person, whom a call-back reached, and the
// keys themselves (a certificate may name its holder) are in sealed bodies.
//
// # Ids
//
// An id is the country, a hyphen, and letters, digits and hyphens: NL-OM-Amsterdam.
// Two ids that could be read as one, such as NL-OM and NL-0M, are one: the second
// is refused.
package authority
