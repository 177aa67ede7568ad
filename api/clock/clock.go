// Package clock judges whether this host's clock can be believed. An instant that
// an authority asks about, the validity of a warrant and the expiry of data are
// all judged by it; a clock that nothing keeps may be wrong by any amount.
package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"griffier/api/reason"
)

// Reading is what the kernel says of its clock.
type Reading struct {
	Synced bool          // something keeps it
	Offset time.Duration // that is still to be corrected
}

// Read asks the kernel (adjtimex(2)), which needs no privilege.
func Read() (Reading, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Reading{}, fmt.Errorf("clock: adjtimex: %w", err)
	}
	return reading(state, t), nil
}

// reading reads adjtimex's answer: the offset is in nanoseconds if STA_NANO is
// set, else in microseconds.
func reading(state int, t unix.Timex) Reading {
	const timeError = 5 // TIME_ERROR: the clock is not synchronised
	offset := time.Duration(t.Offset)
	if t.Status&unix.STA_NANO == 0 {
		offset *= time.Microsecond
	}
	return Reading{Synced: state != timeError && t.Status&unix.STA_UNSYNC == 0, Offset: offset}
}

const (
	// MaxOffset is how far the clock may be off: the margin that is added to every
	// stated uncertainty is larger (legal.clock_margin, 2 s by default).
	MaxOffset = time.Second
	// Tolerance is how far the clock may stand behind the ledger's newest entry,
	// as in the ledger itself.
	Tolerance = 2 * time.Second
)

// Judge judges the clock. It is safe for concurrent use.
type Judge struct {
	// RequireSync refuses a clock that nothing keeps. Off, only a step back
	// behind the ledger is refused: for laboratories.
	RequireSync bool
	LastAt      func() time.Time // the newest time in the ledger; zero for an empty one
	Now         func() time.Time
	Read        func() (Reading, error)
}

// Check returns nil if the clock can be believed, and else a [reason.Error] with
// CLOCK_UNTRUSTED that says why and what to do.
func (j *Judge) Check() error {
	if behind := j.LastAt().Sub(j.Now()); behind > Tolerance {
		return reason.New(reason.ClockUntrusted, fmt.Sprintf("The clock stands %v behind the newest entry in the ledger: set it, and see that a time service keeps it.",
			behind.Round(time.Second)))
	}
	if !j.RequireSync {
		return nil
	}
	r, err := j.Read()
	switch {
	case err != nil:
		return &reason.Error{Reason: reason.ClockUntrusted, Detail: "The kernel does not tell the state of its clock.", Cause: err}
	case !r.Synced:
		return reason.New(reason.ClockUntrusted, "Nothing keeps this host's clock: run a time service (apt install chrony, then chronyc waitsync), "+
			"or set clock.require_sync: false in a laboratory.")
	case r.Offset.Abs() > MaxOffset:
		return reason.New(reason.ClockUntrusted, fmt.Sprintf("The clock is off by %v: wait until the time service has corrected it, or chronyc makestep.",
			r.Offset.Round(time.Millisecond)))
	}
	return nil
}
