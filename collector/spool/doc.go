// Package spool is the collector's durable log: what was acknowledged to a NAS
// or drained from the kernel is here until the store has it.
//
// # Files
//
// A spool is a folder (mode 0700) of files (mode 0600):
//
//	lock                  held with flock(2) while a process has the spool open
//	cursor                how far the store is, and the block it is being given
//	0000000000000001.seg  segments, numbered from 1 without holes
//
// A segment is a header and frames. One frame is one group commit: everything
// written between two fsyncs, under one CRC-32C that is seeded with the spool's
// random id and the segment's number. A group is written only after the one
// before it is durable, which gives the rule for damage found at start: an
// unreadable frame that no readable frame follows was never acknowledged, and
// is cut off and reported; an unreadable frame that a readable one follows was
// acknowledged, and the spool refuses to open.
//
// A checkpoint starts a new segment headed by a full snapshot of the collector's
// state. What is recovered is the last snapshot and the deltas after it. A
// segment is deleted only when the store has all its rows and a later segment
// holds a snapshot.
//
// # Blocks
//
// Every row has an ordinal, its place in the log. A block is a range of
// ordinals, written to the cursor and fsynced before it is first delivered. The
// same block after any crash therefore has the same token and the same rows,
// and a store that remembers tokens takes each row exactly once.
//
// Neither file names nor errors hold anything that was recorded.
package spool
