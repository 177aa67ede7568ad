package letter

import (
	"slices"
	"strings"

	"griffier/api/warrant"
)

// reach is how far, in bytes, a date may be behind its time of day.
const reach = 40

// assumption is a zone that a time without one may be of.
type assumption struct {
	zone    warrant.Zone
	meaning string
}

// assumptions are those that the text states anywhere, then the provider's zone,
// then UTC.
func assumptions(lines [][]span, zone string) []assumption {
	var out []assumption
	add := func(z warrant.Zone, meaning string) {
		if !slices.ContainsFunc(out, func(a assumption) bool { return a.zone.Name == z.Name }) && len(out) < 6 {
			out = append(out, assumption{z, meaning})
		}
	}
	for _, spans := range lines {
		for _, s := range spans {
			if s.zone != nil {
				add(*s.zone, "if "+s.zone.Name+", which the text names elsewhere, is meant")
			}
		}
	}
	for _, name := range []string{zone, "UTC"} {
		if z, ok := warrant.ParseZone(name); ok {
			add(z, "if "+z.Name+" is meant")
		}
	}
	return out
}

// join puts times of day and dates of a line together, where they stand so that a
// reader would, and reads them in the zone that stands with them.
func join(spans []span, assumed []assumption) []span {
	used := map[int]bool{}
	var out []span
	for i, s := range spans {
		if s.clock == nil {
			continue
		}
		d := dateOf(spans, i)
		if d < 0 {
			continue
		}
		used[i], used[d] = true, true
		s.finding = together(spans[d], s, zoneOf(spans, i, d), assumed)
		s.finding.Notes = append(s.finding.Notes, "The date is "+dateText(spans[d])+" on the same line.")
		out = append(out, s)
	}
	for i, s := range spans {
		switch {
		case used[i] && s.clock != nil:
			continue
		case s.clock != nil:
			s.finding.Notes = append(s.finding.Notes, "No date stands with it.")
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b span) int { return a.start - b.start })
	return out
}

func dateText(s span) string {
	if s.finding.Value != "" {
		return s.finding.Value
	}
	return strings.Join(s.finding.Options, " or ")
}

// dateOf is the date before a time of day, or the one right behind it; -1: none.
func dateOf(spans []span, clock int) int {
	for i := clock - 1; i >= 0; i-- {
		if len(spans[i].date) > 0 {
			return i
		}
	}
	for i := clock + 1; i < len(spans) && spans[i].start-spans[clock].end <= reach; i++ {
		if len(spans[i].date) > 0 {
			return i
		}
	}
	return -1
}

// zoneOf is the zone that stands with a time of day: right behind it, or with no more
// than its own date and other times between; or right before it. One that stands with
// another date is not this one's.
func zoneOf(spans []span, clock, date int) *span {
	end := spans[clock].end
	for i := clock + 1; i < len(spans) && spans[i].start-end <= reach; i++ {
		switch s := &spans[i]; {
		case s.finding.Kind == Zone:
			return s
		case s.clock == nil && i != date:
			return beside(spans, clock)
		}
		end = spans[i].end
	}
	return beside(spans, clock)
}

// beside is the zone right before a time of day: UTC 14:30.
func beside(spans []span, clock int) *span {
	if i := clock - 1; i >= 0 && spans[i].finding.Kind == Zone && spans[clock].start-spans[i].end <= 3 {
		return &spans[i]
	}
	return nil
}

// together reads a time of day on every day that its date may be.
func together(date, clock span, zone *span, assumed []assumption) Finding {
	f := Finding{Kind: Instant, Notes: slices.Clone(date.finding.Notes)}
	c := clock.clock
	hypotheses := assumed
	if zone != nil && zone.zone != nil {
		hypotheses = []assumption{{*zone.zone, ""}}
	}
	known := zone != nil && zone.zone != nil
	worst := warrant.ReadExact
	for _, d := range date.date {
		if d.year == 0 {
			worst = warrant.ReadDateAmbiguous
			continue
		}
		w := warrant.WallTime{Year: d.year, Month: d.month, Day: d.day, Hour: c.hour, Minute: c.minute, Second: c.second, Nanosecond: c.nanosecond}
		for _, h := range hypotheses {
			r := w.In(h.zone)
			for _, candidate := range r.Candidates {
				meaning := h.meaning
				if len(date.date) > 1 {
					meaning = both(d.meaning, meaning)
				}
				f.Candidates = append(f.Candidates, warrant.Candidate{At: candidate.At, Meaning: both(meaning, candidate.Meaning)})
			}
			for _, note := range r.Notes {
				if !slices.Contains(f.Notes, note) {
					f.Notes = append(f.Notes, note)
				}
			}
			if worst == warrant.ReadExact {
				worst = r.Outcome
			}
		}
	}
	switch {
	case len(date.date) > 1 || len(date.date) == 1 && date.date[0].meaning == "of this century":
		worst = warrant.ReadDateAmbiguous
	case !known && worst != warrant.ReadNoSuchTime:
		worst = warrant.ReadZoneMissing
	}
	if !known {
		f.Notes = append(f.Notes, "No zone stands with it: ask the authority.")
	}
	f.Outcome = worst
	if worst == warrant.ReadExact && len(f.Candidates) == 1 {
		f.Value = f.Candidates[0].At.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	return f
}

func both(a, b string) string { return strings.Trim(a+", "+b, ", ") }
