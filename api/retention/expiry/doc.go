// Package expiry takes expired data off the disk, and proves that it is gone.
//
// Rows become unreadable at their instant by the store's views, without any help
// from here. [Dropper] removes whole days within 24 hours of that, each between
// two entries in the ledger: an intent with what is about to go, and a
// [Certificate]. [Verifier] looks, independently of both, wherever rows could
// still be: what it found is a [Proof], whose outcome is in the ledger too.
//
// What it computes of limits is the policy's own arithmetic in Go; what it reads
// of the store are counts, times and the names of parts, never a line's data.
//
// Tables of no retention class are not looked at: they hold policy, marks, and
// figures in which nobody can be found. What is kept of persons, lines and warrants
// ends by its keys, not by days.
package expiry
