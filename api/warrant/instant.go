package warrant

import (
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a wall time with a zone is explained the same way on every host

	"griffier/api/reason"
)

var (
	instantForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$`)
	wallForm    = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?: |\[)([A-Za-z]+(?:/[A-Za-z_]+)+)\]?$`)
)

// ParseInstant reads an instant as TS 103 280 QualifiedDateTime wants it: RFC
// 3339 with seconds and an explicit offset. No zone is ever assumed and nothing
// is normalised, so hour 24, a leap second, the unknown offset -00:00 and lower
// case letters are refused, all with TIME_ZONE_MISSING and a detail that tells
// which. A wall time with the name of a zone is refused too; when it falls in
// the hour that a clock change repeats or skips, that is what the refusal says
// (TIME_AMBIGUOUS_DST, TIME_NONEXISTENT_DST), because the authority must be asked.
func ParseInstant(s string) (time.Time, *reason.Error) {
	missing := func(detail string) (time.Time, *reason.Error) {
		return time.Time{}, reason.New(reason.TimeZoneMissing, detail)
	}
	if len(s) > 64 {
		return missing("The text is longer than an instant.")
	}
	if !instantForm.MatchString(s) {
		if m := wallForm.FindStringSubmatch(s); m != nil {
			return time.Time{}, explainWall(strings.Replace(m[1], " ", "T", 1), m[2])
		}
		if instantForm.MatchString(strings.ToUpper(s)) {
			return missing("T and Z must be upper case.")
		}
		return missing("")
	}
	switch hour, second, offset := s[11:13], s[17:19], s[len(s)-6:]; {
	case hour == "24":
		return missing("Hour 24 does not exist: write 00:00:00 of the next day.")
	case second == "60":
		return missing("A leap second cannot be told from its neighbours: state second 59 and an uncertainty.")
	case offset == "-00:00":
		return missing("-00:00 says that the offset is unknown.")
	case s[len(s)-1] != 'Z' && (offset[1:] > "14:00" || offset[4:] > "59"):
		return missing("No zone has that offset.")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1970 {
		return missing("There is no such date or time of day.")
	}
	return t, nil
}

// explainWall tells why a wall time in a named zone is no instant.
func explainWall(wall, zone string) *reason.Error {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return reason.New(reason.TimeZoneMissing, "The zone is not known; state an offset.")
	}
	const layout = "2006-01-02T15:04:05"
	utc, err := time.Parse(layout, wall)
	if err != nil {
		return reason.New(reason.TimeZoneMissing, "There is no such date or time of day.")
	}
	candidates := wallInstants(utc, loc)
	switch len(candidates) {
	case 0:
		return reason.New(reason.TimeNonexistentDST, "")
	case 1:
		return reason.New(reason.TimeZoneMissing, "A zone name is no offset: write "+candidates[0].Format(time.RFC3339)+" if that is meant.")
	}
	var texts []string
	for _, c := range candidates {
		texts = append(texts, c.UTC().Format(time.RFC3339))
	}
	return reason.New(reason.TimeAmbiguousDST, "Candidates: "+strings.Join(texts, ", ")+".")
}

// wallInstants returns every instant at which clocks in loc show wall, whose
// fields are given in UTC. [time.ParseInLocation] would pick one silently.
func wallInstants(wall time.Time, loc *time.Location) []time.Time {
	var out []time.Time
	seen := map[int]bool{}
	for h := -26; h <= 26; h++ { // every offset in force around that day
		_, offset := wall.Add(time.Duration(h) * time.Hour).In(loc).Zone()
		if seen[offset] {
			continue
		}
		seen[offset] = true
		t := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		if _, o := t.Zone(); o == offset {
			out = append(out, t)
		}
	}
	if len(out) == 2 && out[1].Before(out[0]) {
		out[0], out[1] = out[1], out[0]
	}
	return out
}
