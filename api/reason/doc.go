// Package reason is the one catalogue of Griffier's answers and refusals.
//
// A reason is a stable name: programs may depend on it, people find its meaning
// and its cure in REASONS.md, which is generated from this package. It travels
// in google.rpc.ErrorInfo.reason with the domain "griffier". Texts in this
// package, and the details that callers add, never hold an identifier of a
// person, a line, an address or a candidate holder: an error is shown to
// whoever asked, also when they had no right to an answer.
package reason
