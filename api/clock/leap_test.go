package clock

import (
	"errors"
	"testing"
	"time"

	"griffier/api/reason"
)

func TestLeap(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	kept := Reading{Synced: true}
	for _, c := range []struct {
		name    string
		last    time.Time
		reading Reading
		err     error
		looks   []time.Duration // after start
		refused []bool
	}{
		{"an empty ledger believes what comes first, and no leap from it", time.Time{}, Reading{}, nil,
			[]time.Duration{0, 3650 * day, day}, []bool{false, true, false}},
		{"a week is nothing", start, Reading{}, nil, []time.Duration{7 * day, 14 * day}, []bool{false, false}},
		{"ten years ahead, kept by nothing", start, Reading{}, nil, []time.Duration{3650 * day, 3650*day + time.Minute, time.Minute}, []bool{true, true, false}},
		{"ten years ahead, kept", start, kept, nil, []time.Duration{3650 * day}, []bool{false}},
		{"ten years ahead, kept but far off", start, Reading{Synced: true, Offset: 2 * time.Second}, nil, []time.Duration{3650 * day}, []bool{true}},
		{"ten years ahead, nobody tells", start, kept, errors.New("adjtimex is filtered"), []time.Duration{3650 * day}, []bool{true}},
		{"a year behind, even kept", start, kept, nil, []time.Duration{-365 * day, -day}, []bool{true, false}},
		{"a step back lowers nothing", start, Reading{}, nil, []time.Duration{-6 * day, 2 * day, 8 * day, 16 * day}, []bool{false, false, false, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLeap(c.last, func() (Reading, error) { return c.reading, c.err })
			for i, after := range c.looks {
				err := l.Check(start.Add(after))
				if c.refused[i] != (reason.Of(err) == reason.ClockUntrusted) || c.refused[i] != (err != nil) {
					t.Errorf("look %d at %v: %v, want refused: %t", i, after, err, c.refused[i])
				}
			}
		})
	}
	l := NewLeap(start, func() (Reading, error) { return Reading{}, nil })
	l.Accept(start.Add(3650 * day))
	if err := l.Check(start.Add(3651 * day)); err != nil {
		t.Errorf("what the operator accepted: %v", err)
	}
}

// TestLeapSeesAStepOfARunningClock: the monotonic reading must not hide it.
func TestLeapSeesAStepOfARunningClock(t *testing.T) {
	l := NewLeap(time.Now(), func() (Reading, error) { return Reading{}, nil })
	stepped := time.Now().Add(30 * 24 * time.Hour) // has a monotonic reading
	if err := l.Check(stepped); reason.Of(err) != reason.ClockUntrusted {
		t.Errorf("a month ahead: %v", err)
	}
}

func TestSteady(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	kept, broken := Reading{Synced: true}, errors.New("adjtimex is filtered")
	for _, c := range []struct {
		name        string
		wall, since time.Duration // after the start
		reading     Reading
		err         error
		want        time.Duration
	}{
		{"as it runs", 100 * day, 100 * day, Reading{}, nil, 100 * day},
		{"set six days ahead", 7 * day, day, Reading{}, nil, 7 * day},
		{"set a year ahead", 366 * day, day, Reading{}, nil, day},
		{"set a year ahead, and kept", 366 * day, day, kept, nil, 366 * day},
		{"set a year ahead, kept but off", 366 * day, day, Reading{Synced: true, Offset: time.Hour}, nil, day},
		{"set a year ahead, and nobody tells", 366 * day, day, kept, broken, day},
		{"set back", -30 * day, day, Reading{}, nil, -30 * day},
	} {
		s := Steady{Wall: func() time.Time { return start.Add(c.wall) }, Since: func() time.Duration { return c.since },
			Read: func() (Reading, error) { return c.reading, c.err }, started: start}
		if got := s.Now().Sub(start); got != c.want {
			t.Errorf("%s: %v after the start, want %v", c.name, got, c.want)
		}
	}
	if d := time.Since(NewSteady().Now()); d < 0 || d > time.Minute {
		t.Errorf("this host: %v ago", d)
	}
}
