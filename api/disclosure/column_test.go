package disclosure_test

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/disclosure/letter"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// marked is a record of which every field has a value of its own, with what each
// category may show of it.
func marked() (disclosure.Record, map[string]string) {
	r := disclosure.Record{LineID: "line-7c", Address: "192.0.2.17", Port: "40001", Protocol: "17", InstantUTC: "2026-11-19T12:00:00.5Z", HeldPrefix: "2001:db8:77::/56",
		Source: "source-s", Certainty: "certainty-c", Subscriber: disclosure.Person{Name: "Alice Jansen", InstallationAddress: disclosure.PostalAddress{
			Street: "Lange Voorhout", HouseNumber: "80B", Postcode: "2514 EA", Town: "Den Haag", Country: "NLD"}},
		From: at(-7777), To: at(7777), Beyond: "both", PortStart: 41001, PortEnd: 42001, ProtocolNumber: 132, EndCause: "lost_carrier", Direction: "down",
		Bytes: 987654321, Packets: 123456, CountedBy: "kernel-k"}
	values := map[string]string{}
	for _, c := range disclosure.Columns {
		values[c.Name] = c.Value(r)
	}
	return r, values
}

// Under every basis, for every task and answer, a package has the columns of the
// task's category and nothing of any other: neither a name of a column nor a value
// that only others show (disclosure.md D-20).
func TestColumnMinimisation(t *testing.T) {
	signer, err := disclosure.NewSigner(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	var bases []warrant.Basis
	for _, name := range []string{"nl", "be"} {
		profile, err := warrant.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		bases = append(bases, profile.Bases...)
	}
	record, values := marked()
	rapid.Check(t, func(rt *rapid.T) {
		basis := rapid.SampledFrom(bases).Draw(rt, "basis")
		covered := rapid.SliceOfDistinct(rapid.SampledFrom(warrant.Categories), rapid.ID).Filter(func(cs []warrant.Category) bool {
			return !slices.ContainsFunc(cs, func(c warrant.Category) bool { return !slices.Contains(basis.Categories, c) })
		}).Draw(rt, "warrant covers")
		task := rapid.SampledFrom(warrant.Categories).Draw(rt, "task")
		columns := disclosure.ColumnsFor(task, covered)
		if !slices.Contains(covered, task) || task == warrant.Preservation {
			if columns != nil {
				rt.Fatalf("a task of %s under %v has columns", task, covered)
			}
			return
		}
		shown, allowed := map[string]bool{}, map[string]bool{}
		for _, c := range columns {
			if !slices.ContainsFunc(c.Categories, func(of warrant.Category) bool {
				return slices.Contains(covered, of) && (of == task || of == warrant.Identity && task == warrant.Attribution)
			}) {
				rt.Fatalf("column %s in %s under %v", c.Name, task, covered)
			}
			shown[c.Name], allowed[values[c.Name]] = true, true
		}
		if disclosure.NeedsIdentity(columns) != (slices.Contains(covered, warrant.Identity) && (task == warrant.Identity || task == warrant.Attribution)) {
			rt.Fatalf("identity is needed: %v, under %v for %s", disclosure.NeedsIdentity(columns), covered, task)
		}
		answer := disclosure.Answer{Reason: rapid.SampledFrom([]reason.Reason{reason.Match, reason.NoMatch, reason.CoverageGap, reason.RetentionElapsed, reason.DataConflict}).Draw(rt, "answer")}
		var records []disclosure.Record
		if answer.Reason == reason.Match {
			records = []disclosure.Record{record, record}[:rapid.IntRange(1, 2).Draw(rt, "records")]
			answer.LineID, answer.Prefix = record.LineID, netip.MustParsePrefix(record.HeldPrefix)
		}
		p := disclosure.NewListPlan(disclosure.Question{Target: "line:asked", Instant: noon}, at(60), time.Second)
		plain, err := disclosure.Tar(signer, disclosure.Case{TaskID: "t", Category: string(task), Zone: time.UTC}, p, disclosure.Evidence{}, answer, records, columns)
		if err != nil {
			rt.Fatal(err)
		}
		text := readable(t, plain)
		asked := []string{"address", "port", "protocol", "instant_utc"} // words of the question, which the manifest repeats
		for name, value := range values {
			if !shown[name] && !slices.Contains(asked, name) && strings.Contains(text, name) {
				rt.Fatalf("the package of %s under %v mentions column %s", task, covered, name)
			}
			// Short values are parts of other text.
			if len(value) > 2 && name != "held_protocol" && (!allowed[value] || answer.Reason != reason.Match) && value != "both" && value != "down" && strings.Contains(text, value) {
				rt.Fatalf("the package of %s under %v answers %s and has %s: %s", task, covered, answer.Reason, name, value)
			}
			if shown[name] && answer.Reason == reason.Match && !strings.Contains(text, value) {
				rt.Fatalf("the package of %s under %v lacks %s", task, covered, name)
			}
		}
	})
}

// drawn is what a hash, a key or a signature looks like, which spell any short value
// in some run.
var drawn = regexp.MustCompile(`[0-9A-Za-z+/_-]{40,}`)

// readable is a package's text, with the letter's as it is shown, and without drawn.
func readable(t *testing.T, plain []byte) string {
	var b strings.Builder
	for name, text := range untar(t, plain) {
		if name == "letter.pdf" {
			var err error
			if text, err = letter.Text([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		b.WriteString(drawn.ReplaceAllString(text, ""))
	}
	return b.String()
}

// What each category shows, written out: to show more is to change this list too.
func TestColumnsOfCategories(t *testing.T) {
	subscriber := []string{"subscriber_of_line_name", "installation_street", "installation_house_number", "installation_postcode", "installation_town", "installation_country"}
	attribution := []string{"task_id", "address", "port", "protocol", "instant_utc", "line_id", "held_prefix", "attribution_source", "attribution_certainty"}
	for _, test := range []struct {
		task    warrant.Category
		covered []warrant.Category
		want    []string
	}{
		{warrant.Identity, warrant.Categories, slices.Concat([]string{"task_id", "instant_utc", "line_id"}, subscriber)},
		{warrant.Attribution, warrant.Categories, slices.Concat(attribution, subscriber)},
		{warrant.Attribution, []warrant.Category{warrant.Attribution, warrant.History}, attribution},
		{warrant.History, warrant.Categories, []string{"task_id", "line_id", "held_prefix", "held_port_first", "held_port_last", "held_protocol", "held_from_utc", "held_until_utc",
			"held_beyond_window", "held_source", "held_certainty"}},
		{warrant.TimeCategory, warrant.Categories, []string{"task_id", "line_id", "connected_from_utc", "connected_until_utc", "connected_beyond_window", "connection_end_cause", "connection_certainty"}},
		{warrant.Volume, warrant.Categories, []string{"task_id", "line_id", "volume_from_utc", "volume_until_utc", "volume_direction", "volume_bytes", "volume_packets", "volume_counted_by"}},
		{warrant.Preservation, warrant.Categories, nil},
		{warrant.Volume, []warrant.Category{warrant.Identity, warrant.Attribution, warrant.History, warrant.TimeCategory}, nil},
	} {
		var got []string
		for _, c := range disclosure.ColumnsFor(test.task, test.covered) {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s under %v shows %v, want %v", test.task, test.covered, got, test.want)
		}
	}
}

// The retained row has more than the columns show, and none of it gets through.
func TestRecordsHoldOnlyColumns(t *testing.T) {
	s := newSample(t, reason.Match)
	var object map[string]string
	if err := json.Unmarshal([]byte(untar(t, s.plain)["records.jsonl"]), &object); err != nil {
		t.Fatal(err)
	}
	columns := disclosure.ColumnsFor(warrant.Attribution, warrant.Categories)
	if len(object) != len(columns) {
		t.Errorf("%d keys, want %d", len(object), len(columns))
	}
	for _, c := range columns {
		if object[c.Name] == "" {
			t.Errorf("column %s is empty", c.Name)
		}
	}
}
