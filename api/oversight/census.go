package oversight

import (
	"cmp"
	"slices"
	"time"

	"griffier/api/warrant"
)

// Figures count requests by what became of them. A request is a task, or a warrant
// that had none when the year ended.
type Figures struct {
	Disclosed  uint64 `json:"disclosed"`  // answered with data
	Preserved  uint64 `json:"preserved"`  // answered by a preservation
	Unanswered uint64 `json:"unanswered"` // nothing could be given, or the warrant ended first
	Refused    uint64 `json:"refused"`    // we did not comply, or rejected it
	Open       uint64 `json:"open"`       // at the end of the year
	Further    uint64 `json:"further"`    // subjects, beyond one for each that was answered with data
}

// Requests is their sum.
func (f Figures) Requests() uint64 {
	return f.Disclosed + f.Preserved + f.Unanswered + f.Refused + f.Open
}

// Answered counts both kinds of answer.
func (f Figures) Answered() uint64 { return f.Disclosed + f.Preserved }

// Subjects counts those about whom data was given; who is asked about twice counts
// twice, since nobody keeps whom.
func (f Figures) Subjects() uint64 { return f.Disclosed + f.Further }

// Plus adds two up.
func (f Figures) Plus(o Figures) Figures {
	return Figures{f.Disclosed + o.Disclosed, f.Preserved + o.Preserved, f.Unanswered + o.Unanswered, f.Refused + o.Refused, f.Open + o.Open, f.Further + o.Further}
}

// all are what every published figure is a sum of.
func (f Figures) all() [6]uint64 {
	return [6]uint64{f.Disclosed, f.Preserved, f.Unanswered, f.Refused, f.Open, f.Further}
}

// Unknown stands where nothing is known any more, and None where there is nothing
// to know: a dossier that was destroyed, a warrant without a task.
const (
	Unknown = "unknown"
	None    = "none"
)

// Cell is the figures of one combination.
type Cell struct {
	Authority, Basis, Category, Age string
	Figures
}

// AgeBands are those of the age of the data when it was asked for.
var AgeBands = []string{"under 1 day", "1 to 7 days", "8 to 30 days", "31 to 90 days", "91 to 180 days", "181 to 365 days", "over 365 days"}

// AgeBand returns the band of data that is about an instant, asked for at another.
func AgeBand(asked, about time.Time) string {
	days := int(asked.Sub(about) / day)
	for i, most := range []int{1, 8, 31, 91, 181, 366} {
		if days < most {
			return AgeBands[i]
		}
	}
	return AgeBands[len(AgeBands)-1]
}

// Year is [Start, End) of a calendar year in a zone.
func Year(year int, zone *time.Location) (start, end time.Time) {
	return time.Date(year, 1, 1, 0, 0, 0, 0, zone), time.Date(year+1, 1, 1, 0, 0, 0, 0, zone)
}

// Census counts the requests that were made in [start, end), as they stood when it
// ended, or stand now if it has not. instant returns what a task is about, or false
// when its dossier is destroyed. The cells are sorted.
func (s *State) Census(legal *warrant.State, start, end, now time.Time, instant func(warrant.Task) (time.Time, bool)) []Cell {
	if now.Before(end) {
		end = now
	}
	declined := map[string]bool{} // warrants and tasks
	for _, d := range s.NonExecutions("") {
		if d.At.Before(end) {
			declined[cmp.Or(d.TaskID, d.WarrantID)] = true
		}
	}
	cells := map[[4]string]Figures{}
	add := func(w warrant.Warrant, category, age string, f Figures) {
		key := [4]string{cmp.Or(w.Authority, Unknown), w.Basis, category, age}
		cells[key] = cells[key].Plus(f)
	}
	in := func(at time.Time) bool { return !at.Before(start) && at.Before(end) }
	for _, w := range legal.Warrants() {
		any := false
		for _, id := range w.Tasks {
			t, _, ok := legal.Task(id)
			if !ok || !t.CreatedAt.Before(end) {
				continue
			}
			any = true
			if !in(t.CreatedAt) {
				continue
			}
			age := Unknown
			if at, ok := instant(t); ok {
				age = AgeBand(t.CreatedAt, at)
			}
			f := outcome(t, w, declined[t.ID] || declined[w.ID], end)
			if n := s.lines(t.ID); f.Disclosed > 0 && n > 1 {
				f.Further = uint64(n - 1)
			}
			add(w, string(t.Category), age, f)
		}
		if !any && in(w.CreatedAt) {
			for _, c := range w.Categories {
				add(w, string(c), None, withoutAnswer(w, declined[w.ID], end))
			}
		}
	}
	out := make([]Cell, 0, len(cells))
	for key, f := range cells {
		out = append(out, Cell{key[0], key[1], key[2], key[3], f})
	}
	slices.SortFunc(out, compareCells)
	return out
}

// lines returns how many lines a task was answered about.
func (s *State) lines(taskID string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.recipientOf[taskID]
	if !ok {
		return 0
	}
	return s.recipients[i].Lines
}

func compareCells(a, b Cell) int {
	return cmp.Or(cmp.Compare(a.Authority, b.Authority), cmp.Compare(a.Basis, b.Basis), cmp.Compare(a.Category, b.Category),
		cmp.Compare(slices.Index(AgeBands, a.Age), slices.Index(AgeBands, b.Age)), cmp.Compare(a.Age, b.Age))
}

// outcome is what became of a task before end.
func outcome(t warrant.Task, w warrant.Warrant, declined bool, end time.Time) Figures {
	if t.ReleasedAt.IsZero() || !t.ReleasedAt.Before(end) {
		return withoutAnswer(w, declined || !t.RefusedAt.IsZero() && t.RefusedAt.Before(end), end)
	}
	switch t.Stored() {
	case warrant.TaskDisclosed:
		return Figures{Disclosed: 1}
	case warrant.TaskPreserved:
		return Figures{Preserved: 1}
	}
	return Figures{Unanswered: 1}
}

func withoutAnswer(w warrant.Warrant, declined bool, end time.Time) Figures {
	ended := w.Ended != "" && w.EndedAt.Before(end)
	switch {
	case declined, ended && w.Ended == warrant.Rejected:
		return Figures{Refused: 1}
	case ended, !w.ValidUntil.After(end):
		return Figures{Unanswered: 1}
	}
	return Figures{Open: 1}
}
