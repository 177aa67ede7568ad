package doctor

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// farOff is an offset at which answers about a moment may name the wrong line.
const farOff = time.Second

// checkClock asks the kernel (adjtimex(2)) whether something keeps its clock.
func checkClock(context.Context, *system) Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Finding{Status: Warn, Found: "the kernel does not tell the state of its clock", Cause: err.Error(),
			Cure: "look at the time service: timedatectl"}
	}
	offset := time.Duration(t.Offset)
	if t.Status&unix.STA_NANO == 0 {
		offset *= time.Microsecond
	}
	return judgeClock(state, t.Status, offset, time.Duration(t.Maxerror)*time.Microsecond)
}

func judgeClock(state int, status int32, offset, most time.Duration) Finding {
	const timeError = 5 // TIME_ERROR
	switch {
	case state == timeError || status&unix.STA_UNSYNC != 0:
		return Finding{Status: Warn, Found: "the clock is not synchronised",
			Cause: "every coverage row says so, and an authority's question about a moment may be refused",
			Cure:  "run a time service: apt install chrony, then chronyc tracking"}
	case offset.Abs() >= farOff:
		return Finding{Status: Fail, Found: "the clock is off by " + offset.String(),
			Cause: "who held an address at a moment cannot be told that precisely",
			Cure:  "step it: chronyc makestep"}
	}
	return pass("synchronised; offset %v, at most %v off", offset, most)
}
