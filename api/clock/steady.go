package clock

import "time"

// Steady is the host's clock for what stamps entries that stay: a clock that is set
// a week or more ahead while this process runs is not followed until a time service
// keeps it. One entry from years ahead would be the newest time that the ledger knows
// for as many years, and refuse what is decided until then. A machine that slept for
// longer than [MaxLeap] is taken for one whose clock was set.
type Steady struct {
	Wall  func() time.Time
	Since func() time.Duration // how long this process has run, whatever the wall says
	Read  func() (Reading, error)

	started time.Time
}

// NewSteady returns the clock of this process.
func NewSteady() *Steady {
	started := time.Now()
	return &Steady{Wall: time.Now, Since: func() time.Duration { return time.Since(started) }, Read: Read, started: started.Round(0)}
}

// Now returns what the wall says, or, where that leapt ahead, when the process
// started and how long it has run. It is safe for concurrent use.
func (s *Steady) Now() time.Time {
	wall, counted := s.Wall().Round(0), s.started.Add(s.Since())
	if wall.Sub(counted) <= MaxLeap {
		return wall
	}
	if r, err := s.Read(); err == nil && r.Synced && r.Offset.Abs() <= MaxOffset {
		return wall
	}
	return counted
}
