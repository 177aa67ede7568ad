package clock

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/api/reason"
)

func TestReading(t *testing.T) {
	for _, c := range []struct {
		name  string
		state int
		t     unix.Timex
		want  Reading
	}{
		{"kept, in nanoseconds", 0, unix.Timex{Status: unix.STA_NANO | unix.STA_PLL, Offset: 1500}, Reading{true, 1500}},
		{"kept, in microseconds", 0, unix.Timex{Status: unix.STA_PLL, Offset: -1500}, Reading{true, -1500 * time.Microsecond}},
		{"a leap second is near", 1, unix.Timex{Status: unix.STA_NANO | unix.STA_INS}, Reading{true, 0}},
		{"not kept", 0, unix.Timex{Status: unix.STA_NANO | unix.STA_UNSYNC}, Reading{false, 0}},
		{"in error", 5, unix.Timex{Status: unix.STA_NANO}, Reading{false, 0}},
	} {
		if got := reading(c.state, c.t); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if _, err := Read(); err != nil {
		t.Errorf("this host's kernel: %v", err)
	}
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	broken := errors.New("adjtimex is filtered")
	for _, c := range []struct {
		name    string
		require bool
		last    time.Time
		reading Reading
		err     error
		ok      bool
	}{
		{"kept", true, now.Add(-time.Hour), Reading{true, time.Millisecond}, nil, true},
		{"kept, empty ledger", true, time.Time{}, Reading{true, 0}, nil, true},
		{"not kept", true, now, Reading{false, 0}, nil, false},
		{"not kept, laboratory", false, now, Reading{false, 0}, nil, true},
		{"far off", true, now, Reading{true, -1001 * time.Millisecond}, nil, false},
		{"at the limit", true, now, Reading{true, time.Second}, nil, true},
		{"kernel does not tell", true, now, Reading{}, broken, false},
		{"kernel does not tell, laboratory", false, now, Reading{}, broken, true},
		{"a little behind the ledger", true, now.Add(Tolerance), Reading{true, 0}, nil, true},
		{"set back", true, now.Add(Tolerance + time.Millisecond), Reading{true, 0}, nil, false},
		{"set back, laboratory", false, now.Add(time.Hour), Reading{false, 0}, nil, false},
	} {
		j := Judge{RequireSync: c.require, LastAt: func() time.Time { return c.last }, Now: func() time.Time { return now },
			Read: func() (Reading, error) { return c.reading, c.err }}
		err := j.Check()
		if (err == nil) != c.ok || err != nil && (reason.Of(err) != reason.ClockUntrusted || reason.From(err).Detail == "") {
			t.Errorf("%s: %v, want ok %v, and else CLOCK_UNTRUSTED with a cure", c.name, err, c.ok)
		}
		if c.err != nil && err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
}
