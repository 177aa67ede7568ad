// Package letter reads the plain text of an order and points at what may belong in a
// warrant: addresses, ports, protocols, dates and times, zones, references, articles.
//
// It understands Dutch, French, English and German. Everything that it finds is shown
// against its line and column, and whatever can be read in more than one way is
// listed in all of them: which is meant, a person decides, with the order before
// them. What comes out is a proposal that is never complete.
//
// The package is pure: nothing is stored, looked up or logged. Its cost is bounded by
// the length of the text, which is bounded.
package letter
