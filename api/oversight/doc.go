// Package oversight holds what the overseer sees of the legal work, and the rules
// that watch over it: links between disclosures about one line, limits on how many
// warrants and tasks there may be, non-execution, costs, reports of errors, the end
// of secrecy, and the annual statistics.
//
// It is pure, like package warrant: commands return the [ledger.Draft] of an entry
// or a refusal, and [State] is a fold over the ledger's clear headers. Nothing in a
// header says whom anything was about. What is to be matched later is matched by
// tags: keyed hashes, each over the random id of its own task or warrant besides
// the value, so that no two tags are equal and nobody without the key can tell that
// two are of the same line. The keys are replaced every [TagPeriod] and destroyed
// when no tag under them can be matched any more; then nothing is left of it.
package oversight
