package letter

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"griffier/api/warrant"
)

// day is what a date may be; month and day are valid for some year.
type day struct {
	year, month, day int // year 0: not stated
	meaning          string
}

// clockTime is a time of day.
type clockTime struct {
	hour, minute, second, nanosecond int // second -1: not stated
}

const monthPattern = `januari|january|janvier|januar|jänner|jan|februari|february|février|fevrier|februar|févr|feb|fév|maart|march|mars|märz|maerz|mrt|mar|april|avril|apr|avr|` +
	`mei|may|mai|juni|june|juin|jun|juli|july|juillet|juil|jul|augustus|august|août|aout|aug|september|septembre|sept|sep|oktober|october|octobre|okt|oct|` +
	`november|novembre|nov|december|décembre|decembre|dezember|dec|déc|dez`

// months are the first letters of every spelling, the longest first.
var months = []struct {
	prefix string
	month  int
}{{"jan", 1}, {"jän", 1}, {"feb", 2}, {"fev", 2}, {"fév", 2}, {"maa", 3}, {"mar", 3}, {"mär", 3}, {"mae", 3}, {"mrt", 3}, {"apr", 4}, {"avr", 4}, {"mei", 5}, {"may", 5}, {"mai", 5},
	{"juin", 6}, {"jun", 6}, {"juil", 7}, {"jul", 7}, {"aug", 8}, {"aoû", 8}, {"aou", 8}, {"sep", 9}, {"okt", 10}, {"oct", 10}, {"nov", 11}, {"dec", 12}, {"déc", 12}, {"dez", 12}}

var (
	instantForm = regexp.MustCompile(`\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)? ?(?:Z|[+-]\d{2}:?\d{2})`)
	isoForm     = regexp.MustCompile(`(\d{4})[-./](\d{1,2})[-./](\d{1,2})`)
	numericForm = regexp.MustCompile(`(\d{1,2})([-./])(\d{1,2})([-./])(\d{4}|'?\d{2})`)
	namedForm   = regexp.MustCompile(`(?i)(\d{1,2})(?:st|nd|rd|th|er|ste|de|e|\.)?[ -]{1,2}(?:of |de )?(` + monthPattern + `)\.?(?:,?[ -]{1,2}(\d{4}|'\d{2}))?`)
	monthFirst  = regexp.MustCompile(`(?i)(` + monthPattern + `)\.? (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{4}))?`)
	clockForm   = regexp.MustCompile(`(?i)(\d{1,2}) ?([:.hu]) ?(\d{2})(?:[:.](\d{2})(?:[.,](\d{1,9}))?)?(?: ?(uur|u\.|uhr|heures|hrs?|hours?|h|a\.?m\.?|p\.?m\.?))?`)
	hourForm    = regexp.MustCompile(`(?i)(\d{1,2}) ?(uur|uhr|heures?|hours?|h|a\.?m\.?|p\.?m\.?)`)
	zoneForm    = regexp.MustCompile(`(?i)(?:UTC|GMT) ?[+-] ?\d{1,2}(?::?\d{2})?|UTC|GMT|CES?T|MES?T|MES?Z|WES?T|EES?T|[+-]\d{2}:?\d{2}|[A-Z][a-z]+/[A-Z][a-z_]+(?:/[A-Z][a-z_]+)?|` +
		`nederlandse tijd|amsterdam(?:se tijd)?|belgische tijd|heure belge|heure de bruxelles|bruxelles|brussels?e tijd|brussels? time|brussels?|amsterdam time|dutch time|` +
		`zomertijd|wintertijd|summer ?time|winter ?time|heure d['’]été|heure d['’]hiver|sommerzeit|winterzeit|lokale tijd|plaatselijke tijd|local time|heure locale|ortszeit`)
)

// named are zones that letters have words for. Those with an empty name are of no
// zone that can be known.
var named = []struct{ prefix, zone string }{
	{"nederlandse", "Europe/Amsterdam"}, {"dutch", "Europe/Amsterdam"}, {"amsterdam", "Europe/Amsterdam"},
	{"belgische", "Europe/Brussels"}, {"heure belge", "Europe/Brussels"}, {"heure de bruxelles", "Europe/Brussels"}, {"bruxelles", "Europe/Brussels"}, {"brussel", "Europe/Brussels"},
	{"zomer", "CEST"}, {"summer", "CEST"}, {"heure d'été", "CEST"}, {"heure d’été", "CEST"}, {"sommer", "CEST"},
	{"winter", "CET"}, {"heure d'hiver", "CET"}, {"heure d’hiver", "CET"},
	{"lokale", ""}, {"plaatselijke", ""}, {"local", ""}, {"heure locale", ""}, {"ortszeit", ""},
}

func atoi(s string) int {
	n, _ := strconv.Atoi(strings.Trim(s, "'")) // digits of a form, few
	return n
}

func monthOf(name string) int {
	name = strings.ToLower(name)
	for _, m := range months {
		if strings.HasPrefix(name, m.prefix) {
			return m.month
		}
	}
	return 0
}

// instants are whole: date, time and offset as machines write them.
func instants(line string) []span {
	var out []span
	for _, m := range instantForm.FindAllStringIndex(line, -1) {
		if !bounded(line, m[0], m[1]) {
			continue
		}
		r := warrant.Candidates(line[m[0]:m[1]], "")
		out = append(out, span{start: m[0], end: m[1], finding: moment(r)})
	}
	return out
}

// moment is an instant's finding.
func moment(r warrant.Reading) Finding {
	f := Finding{Kind: Instant, Outcome: r.Outcome, Candidates: r.Candidates, Notes: r.Notes}
	if r.Outcome == warrant.ReadExact && len(r.Candidates) == 1 {
		f.Value = r.Candidates[0].At.Format("2006-01-02T15:04:05.999999999Z07:00")
	}
	return f
}

// dates are in every order that Europe writes, and in some that it does not.
func dates(line string) []span {
	var out []span
	put := func(start, end int, options []day, notes ...string) {
		options = slices.DeleteFunc(options, func(d day) bool {
			return d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31 || d.year != 0 && (d.year < 1970 || d.year > 2200)
		})
		if len(options) == 0 {
			notes = append(notes, "There is no such date.")
		}
		f := Finding{Kind: Date, Notes: notes}
		for _, d := range options {
			text := fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day)
			if d.year == 0 {
				text = fmt.Sprintf("--%02d-%02d", d.month, d.day)
			}
			f.Options = append(f.Options, text)
		}
		if len(f.Options) == 1 {
			f.Value, f.Options = f.Options[0], nil
		}
		out = append(out, span{start: start, end: end, finding: f, date: options})
	}
	for _, m := range isoForm.FindAllStringSubmatchIndex(line, -1) {
		if start, end := m[0], m[1]; bounded(line, start, end) || end < len(line) && line[end] == 'T' {
			put(start, end, []day{{atoi(sub(line, m, 1)), atoi(sub(line, m, 2)), atoi(sub(line, m, 3)), ""}})
		}
	}
	for _, m := range numericForm.FindAllStringSubmatchIndex(line, -1) {
		if !bounded(line, m[0], m[1]) || sub(line, m, 2) != sub(line, m, 4) || m[1] < len(line) && line[m[1]] == line[m[4]] {
			continue
		}
		a, b, year := atoi(sub(line, m, 1)), atoi(sub(line, m, 3)), atoi(sub(line, m, 5))
		var options []day
		var notes []string
		switch {
		case m[11]-m[10] == 4:
			options = []day{{year, b, a, "day first"}}
			if sub(line, m, 2) != "." && a != b && a <= 12 && b <= 12 {
				options = append(options, day{year, a, b, "month first"})
				notes = append(notes, "Day and month could be the other way round.")
			}
		default:
			notes = append(notes, "The year has two digits: ask for all four.")
			for _, d := range []day{{2000 + year, b, a, "day first"}, {2000 + year, a, b, "month first"}, {2000 + a, b, year, "year first"}} {
				if !slices.ContainsFunc(options, func(o day) bool { return o.year == d.year && o.month == d.month && o.day == d.day }) {
					options = append(options, d)
				}
			}
		}
		put(m[0], m[1], options, notes...)
	}
	for _, m := range namedForm.FindAllStringSubmatchIndex(line, -1) {
		if bounded(line, m[0], m[1]) {
			put(m[0], m[1], written(sub(line, m, 3), monthOf(sub(line, m, 2)), atoi(sub(line, m, 1))), yearNote(sub(line, m, 3))...)
		}
	}
	for _, m := range monthFirst.FindAllStringSubmatchIndex(line, -1) {
		if bounded(line, m[0], m[1]) {
			put(m[0], m[1], written(sub(line, m, 3), monthOf(sub(line, m, 1)), atoi(sub(line, m, 2))), yearNote(sub(line, m, 3))...)
		}
	}
	return out
}

// written is a date whose month is a word.
func written(year string, month, d int) []day {
	switch {
	case year == "":
		return []day{{0, month, d, ""}}
	case len(year) == 4:
		return []day{{atoi(year), month, d, ""}}
	}
	return []day{{2000 + atoi(year), month, d, "of this century"}}
}

func yearNote(year string) []string {
	switch {
	case year == "":
		return []string{"The year is not stated."}
	case len(year) != 4:
		return []string{"The year has two digits: ask for all four."}
	}
	return nil
}

// clocks are times of day. With a point between them two numbers are one only when a
// word such as "uur" follows.
func clocks(line string) []span {
	var out []span
	for _, m := range clockForm.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[0], m[1]
		separator, word := strings.ToLower(sub(line, m, 2)), strings.ToLower(sub(line, m, 6))
		if word != "" && !bounded(line, start, end) { // the word is the start of another
			end, word = max(m[7], m[9], m[11]), ""
		}
		joined := start > 0 && line[start-1] == 'T' && start > 1 && isDigit(line[start-2]) // 2026-10-25T02:30
		if !bounded(line, start, end) && !joined || separator == "." && word == "" || end < len(line) && line[end] == ':' || start > 0 && strings.ContainsRune(":.", rune(line[start-1])) {
			continue
		}
		c := &clockTime{hour: atoi(sub(line, m, 1)), minute: atoi(sub(line, m, 3)), second: -1}
		if m[8] >= 0 {
			c.second = atoi(sub(line, m, 4))
			c.nanosecond = atoi((sub(line, m, 5) + "000000000")[:9])
		}
		out = append(out, clockSpan(start, end, c, word))
	}
	for _, m := range hourForm.FindAllStringSubmatchIndex(line, -1) {
		if !bounded(line, m[0], m[1]) || m[0] > 0 && strings.ContainsRune(":.-/", rune(line[m[0]-1])) {
			continue
		}
		out = append(out, span{start: m[0], end: m[1], finding: Finding{Kind: Time, Notes: []string{"Only the hour is stated: ask for minutes and seconds."}}})
	}
	return out
}

func clockSpan(start, end int, c *clockTime, word string) span {
	f := Finding{Kind: Time}
	if word != "" && (word[0] == 'a' || word[0] == 'p') {
		switch {
		case c.hour < 1 || c.hour > 12:
			c.hour = 99
		case word[0] == 'p' && c.hour < 12:
			c.hour += 12
		case word[0] == 'a' && c.hour == 12:
			c.hour = 0
		}
	}
	switch {
	case c.hour > 24 || c.minute > 59 || c.second > 60:
		f.Notes = append(f.Notes, "There is no such time of day.")
		return span{start: start, end: end, finding: f}
	case c.second == -1:
		f.Value = fmt.Sprintf("%02d:%02d", c.hour, c.minute)
	default:
		f.Value = fmt.Sprintf("%02d:%02d:%02d", c.hour, c.minute, c.second)
	}
	return span{start: start, end: end, finding: f, clock: c}
}

// zones are offsets, abbreviations, IANA names and words for them.
func zones(line string) []span {
	var out []span
	for _, m := range zoneForm.FindAllStringIndex(line, -1) {
		start, end := m[0], m[1]
		text := line[start:end]
		offset := text[0] == '+' || text[0] == '-'
		if !offset && !bounded(line, start, end) || offset && (start == 0 || !strings.ContainsRune(" 0123456789(", rune(line[start-1])) || end < len(line) && isDigit(line[end])) {
			continue
		}
		f := Finding{Kind: Zone}
		name, unknowable := text, false
		for _, n := range named {
			if strings.HasPrefix(strings.ToLower(text), n.prefix) {
				name, unknowable = n.zone, n.zone == ""
			}
		}
		z, ok := warrant.ParseZone(strings.ReplaceAll(name, " ", ""))
		s := span{start: start, end: end}
		switch {
		case ok:
			f.Value, s.zone = z.Name, &z
		case unknowable:
			f.Notes = append(f.Notes, "It does not say of which place: ask the authority for the zone.")
		default:
			continue // a word that looks like one
		}
		s.finding = f
		out = append(out, s)
	}
	return out
}
