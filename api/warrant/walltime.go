package warrant

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ReadingOutcome says how a text about a time can be understood.
type ReadingOutcome string

// Outcomes of a reading. Only the first is an instant; of the others a person must
// ask the authority, and nothing here chooses for them.
const (
	ReadExact          ReadingOutcome = "EXACT"
	ReadAmbiguousDST   ReadingOutcome = "TIME_AMBIGUOUS_DST"         // clocks were set back: it was that time twice
	ReadNonexistentDST ReadingOutcome = "TIME_NONEXISTENT_DST"       // clocks were set forward: it was never that time
	ReadZoneMissing    ReadingOutcome = "TIME_ZONE_MISSING"          // neither a zone nor an offset is stated
	ReadOutOfSeason    ReadingOutcome = "ABBREVIATION_OUT_OF_SEASON" // such as CET in July: two readings
	ReadHour24         ReadingOutcome = "HOUR_24"                    // 24:00 is the next day's 00:00
	ReadLeapSecond     ReadingOutcome = "LEAP_SECOND"                // second 60: its two neighbours
	ReadDateAmbiguous  ReadingOutcome = "DATE_AMBIGUOUS"             // day and month could be the other way round
	ReadNoSuchTime     ReadingOutcome = "NO_SUCH_TIME"
)

// Reading is how a text about a time can be understood: every candidate, in order.
type Reading struct {
	Outcome    ReadingOutcome
	Candidates []Candidate
	Notes      []string // what a person should know, fixed texts
}

// Candidate is one instant that a text may mean. Meaning tells under which
// assumption; it is empty where there is none.
type Candidate struct {
	At      time.Time
	Meaning string
}

// WallTime is a date and a time of day as somebody wrote them, of no zone yet. A
// second of -1 was not written.
type WallTime struct {
	Year, Month, Day     int
	Hour, Minute, Second int
	Nanosecond           int
}

// Zone is a zone as somebody wrote it: an offset, an abbreviation such as CET, or an
// IANA name.
type Zone struct {
	Name   string
	offset int            // seconds, of an offset or an abbreviation
	loc    *time.Location // of an IANA name; of an abbreviation, where it is in use
	season bool           // it is an abbreviation of one half of the year
}

// amsterdam is where a reader of these notes is.
var amsterdam = mustLoad("Europe/Amsterdam")

func mustLoad(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil { // time/tzdata is compiled in
		panic(err)
	}
	return loc
}

// abbreviations are the ones with one meaning in Europe. Others (IST, EST, BST as
// Bangladesh's) are refused, since they have several.
var abbreviations = map[string]struct {
	offset int
	home   string // empty: in use all year
}{
	"Z": {}, "UTC": {}, "GMT": {},
	"CET": {3600, "Europe/Amsterdam"}, "MET": {3600, "Europe/Amsterdam"}, "MEZ": {3600, "Europe/Amsterdam"},
	"CEST": {7200, "Europe/Amsterdam"}, "MEST": {7200, "Europe/Amsterdam"}, "MESZ": {7200, "Europe/Amsterdam"},
	"WET": {0, "Europe/Lisbon"}, "WEST": {3600, "Europe/Lisbon"}, "EET": {7200, "Europe/Athens"}, "EEST": {10800, "Europe/Athens"},
}

// places are names of zones as letters have them.
var places = map[string]string{"amsterdam": "Europe/Amsterdam", "brussel": "Europe/Brussels", "brussels": "Europe/Brussels", "bruxelles": "Europe/Brussels",
	"berlin": "Europe/Berlin", "paris": "Europe/Paris", "luxembourg": "Europe/Luxembourg", "london": "Europe/London"}

var (
	offsetForm = regexp.MustCompile(`^(?:UTC|GMT)? ?([+-])(\d{1,2})(?::?(\d{2}))?$`)
	ianaForm   = regexp.MustCompile(`^[A-Za-z]+(?:/[A-Za-z_-]+)+$`)
	wallText   = regexp.MustCompile(`^(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})([-./])(\d{1,2})([-./])(\d{4}))(?:T| +)(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d{1,9}))?)?(?: *(.*))?$`)
)

// ParseZone reads a zone: Z, UTC+1, +0100, +01:00, CET, Europe/Amsterdam, Amsterdam.
// False: it is none, or one that means several.
func ParseZone(text string) (Zone, bool) {
	if len(text) > 64 {
		return Zone{}, false
	}
	text = strings.Trim(strings.TrimSpace(text), "[]()")
	upper := strings.ToUpper(text)
	if a, ok := abbreviations[upper]; ok {
		z := Zone{Name: upper, offset: a.offset}
		if a.home != "" {
			z.loc, z.season = mustLoad(a.home), true
		}
		return z, true
	}
	if m := offsetForm.FindStringSubmatch(upper); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi("0" + m[3])
		offset := hours*3600 + minutes*60
		if minutes > 59 || offset > 14*3600 {
			return Zone{}, false
		}
		if m[1] == "-" {
			if offset == 0 {
				return Zone{}, false // -00:00 says that the offset is unknown
			}
			offset = -offset
		}
		return Zone{Name: formatOffset(offset), offset: offset}, true
	}
	name, known := places[strings.ToLower(text)]
	if !known {
		name = text
	}
	if !ianaForm.MatchString(name) {
		return Zone{}, false
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return Zone{}, false
	}
	return Zone{Name: name, loc: loc}, true
}

func formatOffset(seconds int) string {
	return time.Unix(0, 0).In(time.FixedZone("", seconds)).Format("-07:00")
}

// Candidates reads a text about a time, whose zone may stand in it or be stated
// beside it, and returns every instant that it may mean. Unlike [ParseInstant] it is
// for people who must find out what a letter means: nothing is taken from here into a
// warrant but by them.
func Candidates(text, zone string) Reading {
	if len(text) > 128 {
		return Reading{Outcome: ReadNoSuchTime, Notes: []string{"The text is longer than a time."}}
	}
	m := wallText.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Reading{Outcome: ReadNoSuchTime, Notes: []string{"It is not of the form 2026-10-25 02:30:00 or 25-10-2026 02:30:00, with or without a zone."}}
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // digits, at most nine
		return n
	}
	w := WallTime{Year: number(m[1]), Month: number(m[2]), Day: number(m[3]), Hour: number(m[9]), Minute: number(m[10]), Second: -1}
	if m[11] != "" {
		w.Second = number(m[11])
		w.Nanosecond = number((m[12] + "000000000")[:9])
	}
	var z Zone
	var notes []string
	stated := m[13]
	if stated == "" {
		stated = zone
	}
	known := false
	if stated != "" {
		if z, known = ParseZone(stated); !known {
			notes = append(notes, "The zone is not known, or means several; write an offset or a name such as Europe/Amsterdam.")
		}
	}
	if m[4] != "" { // day first, as Europe writes it; with a point nobody else writes it
		w.Year, w.Month, w.Day = number(m[8]), number(m[6]), number(m[4])
		if m[5] != m[7] {
			return Reading{Outcome: ReadNoSuchTime, Notes: []string{"The date has two kinds of separator."}}
		}
		if m[5] != "." && w.Day <= 12 && w.Month <= 12 && w.Day != w.Month {
			other := w
			other.Day, other.Month = w.Month, w.Day
			first, second := w.in(z, known), other.in(z, known)
			r := Reading{Outcome: ReadDateAmbiguous, Notes: append(notes, "Day and month could be the other way round: write 2026-10-25.")}
			r.add(first, "day first")
			r.add(second, "month first")
			return r
		}
	}
	r := w.in(z, known)
	r.Notes = append(notes, r.Notes...)
	if m[13] != "" && zone != "" && len(r.Candidates) == 1 {
		if beside, ok := ParseZone(zone); ok && beside.loc != nil && !beside.season {
			if _, there := r.Candidates[0].At.In(beside.loc).Zone(); there != z.at(r.Candidates[0].At) {
				r.Notes = append(r.Notes, "The text states another offset than "+beside.Name+" had at that instant; the text's was taken.")
			}
		}
	}
	return r
}

// add takes over the candidates of another reading, under an assumption.
func (r *Reading) add(other Reading, meaning string) {
	for _, c := range other.Candidates {
		c.Meaning = strings.Trim(meaning+", "+c.Meaning, ", ")
		r.Candidates = append(r.Candidates, c)
	}
}

// at returns the zone's offset at an instant, in seconds.
func (z Zone) at(t time.Time) int {
	if z.loc == nil || z.season {
		return z.offset
	}
	_, offset := t.In(z.loc).Zone()
	return offset
}

// In reads a wall time in a zone.
func (w WallTime) In(z Zone) Reading { return w.in(z, true) }

func (w WallTime) in(z Zone, known bool) Reading {
	var r Reading
	if w.Second == -1 {
		w.Second = 0
		r.Notes = append(r.Notes, "There are no seconds: the instant may be anywhere in that minute.")
	}
	refuse := func(note string) Reading {
		return Reading{Outcome: ReadNoSuchTime, Notes: append(r.Notes, note)}
	}
	special := ReadingOutcome("")
	switch {
	case w.Hour == 24 && w.Minute == 0 && w.Second == 0 && w.Nanosecond == 0:
		special = ReadHour24
		r.Notes = append(r.Notes, "Hour 24 does not exist: 00:00:00 of the next day is listed.")
	case w.Second == 60:
		special = ReadLeapSecond
		r.Notes = append(r.Notes, "A leap second cannot be told from its neighbours, which are listed.")
	}
	day := time.Date(w.Year, time.Month(w.Month), w.Day, 0, 0, 0, 0, time.UTC)
	switch {
	case w.Year < 1970 || w.Year > 2200 || w.Month < 1 || w.Month > 12 || day.Day() != w.Day || day.Month() != time.Month(w.Month):
		return refuse("There is no such date.")
	case special != ReadHour24 && w.Hour > 23, w.Hour < 0, w.Minute < 0 || w.Minute > 59, w.Second < 0 || w.Second > 59 && special != ReadLeapSecond,
		w.Nanosecond < 0 || w.Nanosecond >= 1e9:
		return refuse("There is no such time of day.")
	}
	if !known {
		r.Outcome = ReadZoneMissing
		r.Notes = append(r.Notes, "Neither a zone nor an offset is stated; ask the authority.")
		return r
	}
	second := min(w.Second, 59)
	wall := day.Add(time.Duration(w.Hour)*time.Hour + time.Duration(w.Minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(w.Nanosecond))
	r = z.read(wall, r)
	if special == ReadLeapSecond {
		for _, c := range slices.Clone(r.Candidates) {
			r.Candidates = append(r.Candidates, Candidate{c.At.Add(time.Second), strings.Trim("the second after, "+c.Meaning, ", ")})
		}
		slices.SortStableFunc(r.Candidates, func(a, b Candidate) int { return a.At.Compare(b.At) })
	}
	if special != "" && r.Outcome == ReadExact {
		r.Outcome = special
	}
	return r
}

// read adds to r what a wall time, whose fields are given in UTC, means in the zone.
func (z Zone) read(wall time.Time, r Reading) Reading {
	switch {
	case z.loc == nil:
		at := wall.Add(-time.Duration(z.offset) * time.Second)
		r.Outcome, r.Candidates = ReadExact, []Candidate{{At: at.In(time.FixedZone("", z.offset))}}
		if _, here := at.In(amsterdam).Zone(); here != z.offset && z.offset != 0 {
			r.Notes = append(r.Notes, "The offset is not the one of Amsterdam and Brussels at that instant, which was "+formatOffset(here)+".")
		}
	case z.season:
		at := wall.Add(-time.Duration(z.offset) * time.Second)
		literal := Candidate{At: at.In(time.FixedZone(z.Name, z.offset)), Meaning: z.Name + " as written"}
		if _, there := at.In(z.loc).Zone(); there == z.offset {
			r.Outcome, r.Candidates = ReadExact, []Candidate{{At: literal.At}}
			break
		}
		r.Outcome, r.Candidates = ReadOutOfSeason, []Candidate{literal}
		r.Notes = append(r.Notes, fmt.Sprintf("%s is not in use on that date; the clock of %s may be meant.", z.Name, z.loc))
		for _, meant := range wallInstants(wall, z.loc) {
			r.Candidates = append(r.Candidates, Candidate{meant, "the clock of " + z.loc.String()})
		}
		slices.SortStableFunc(r.Candidates, func(a, b Candidate) int { return a.At.Compare(b.At) })
	default:
		for _, at := range wallInstants(wall, z.loc) {
			r.Candidates = append(r.Candidates, Candidate{At: at})
		}
		switch len(r.Candidates) {
		case 0:
			r.Outcome = ReadNonexistentDST
		case 1:
			r.Outcome = ReadExact
		default:
			r.Outcome = ReadAmbiguousDST
		}
	}
	return r
}
