package spool

import (
	"errors"
	"fmt"
)

// Errors that callers decide on. All are returned wrapped.
var (
	// ErrFull is back-pressure: the batch is not in the spool, and must not be
	// acknowledged. It ends when blocks are acknowledged and, since a segment
	// also needs a later snapshot to go, [Spool.Checkpoint] is called.
	ErrFull = errors.New("spool is full")
	// ErrLocked means that another process, or another Spool in this one, has
	// the folder open.
	ErrLocked = errors.New("spool is in use by another process")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge means that a batch or snapshot can never be stored: split it.
	ErrTooLarge = errors.New("too large for the spool")
	// ErrInvalid means that a record cannot be stored as it is.
	ErrInvalid = errors.New("record cannot be stored")
	// ErrUnknownOutcome means that the context ended while the batch was being
	// written: it may or may not be in the spool. Do not acknowledge it.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrNotOutstanding means that Ack was given a token that is not that of
	// the block last returned by Next.
	ErrNotOutstanding = errors.New("not the outstanding block")
)

// A CorruptError says that acknowledged data cannot be read. The spool does not
// repair or skip it by itself.
type CorruptError struct {
	File   string // path
	Offset int64  // byte offset of the damage
	Detail string
}

// Error names the place and the cure.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("spool: %s: offset %d: %s; restore the spool folder from a copy, or move the whole folder "+
		"aside so that collection starts anew and the interval is declared a coverage gap", e.File, e.Offset, e.Detail)
}
