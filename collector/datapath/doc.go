// Package datapath owns the slots of the kernel's counters: which access line
// counts in which, when a slot may go to another line, and what has been counted.
//
// A line (known here only by the 128 bits of its access_ref) holds one slot; all
// its addresses and prefixes lead there. When it loses the last of them the slot
// is retired: its keys are gone from the kernel, and after a grace period a final
// reading is taken, reported, and becomes the baseline of the slot's next owner.
// Counters are never zeroed and never deleted, so nothing is lost to a reset and
// no line inherits another's byte.
//
// Who owns what is noted in the kernel beside the counters (bpf.Owner), and
// always before the counters can change. With pinned maps a collector that was
// killed therefore goes on where the kernel is, not where a file was.
//
// The table of slots (table.go) is pure; the rest is the shell around it.
package datapath
