package epoc_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/epoc"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The same form in both encodings is the same form, and all of it is read.
func TestParse(t *testing.T) {
	fromJSON, err := epoc.Parse(read(t, "traffic.json"))
	if err != nil {
		t.Fatal(err)
	}
	fromXML, err := epoc.Parse(read(t, "traffic.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromJSON, fromXML) {
		t.Errorf("JSON %+v\nXML  %+v", fromJSON, fromXML)
	}
	want := epoc.Form{Kind: epoc.Production, CaseNumber: "DE-2026-00042", IssuedAt: "2026-11-19T09:00:00+01:00",
		IssuingAuthority:     epoc.Authority{ID: "DE-STA-BERLIN", Country: "DE", Name: "Staatsanwaltschaft Berlin", Office: epoc.PublicProsecutor, Person: "Dr. A. Weber"},
		ValidatingAuthority:  &epoc.Authority{ID: "DE-AG-TIERGARTEN", Country: "DE", Name: "Amtsgericht Tiergarten & Co", Office: epoc.Judge, Person: "R. Klein"},
		ValidatingCaseNumber: "7 Gs 12/26", Addressee: epoc.Addressee{Name: "ISP Example BV", Role: epoc.Establishment}, Offence: "computer fraud, StGB 263a",
		DelayInformingUser: true, TransferTo: &epoc.Receiver{ID: "DE-BKA", Name: "Bundeskriminalamt"}, Previous: []string{"DE-2026-00017"},
		EnforcingAuthority: &epoc.Enforcing{Country: "NL", Name: "Parket Amsterdam", Notified: true},
		Deadline:           epoc.TenDaysSubjectToEA, Data: []epoc.Data{epoc.SubscriberData, epoc.TrafficData}, Traffic: []string{"ADDRESS_HISTORY", "CONNECTION_TIMES"},
		Identifiers: []epoc.Identifier{{Kind: "IP_ADDRESS", Value: "192.0.2.17", Port: 51234, Protocol: "TCP"}, {Kind: "LINE", Value: "L-1001"}},
		Ranges:      []epoc.Range{{From: "2026-11-18T00:00:00+01:00", To: "2026-11-19T00:00:00+01:00"}}}
	if !reflect.DeepEqual(fromJSON, want) {
		t.Errorf("read %+v\nwant %+v", fromJSON, want)
	}
}

func TestContent(t *testing.T) {
	form, err := epoc.Parse(read(t, "traffic.xml"))
	if err != nil {
		t.Fatal(err)
	}
	c, refusal := form.Content()
	if refusal != nil {
		t.Fatal(refusal)
	}
	want := warrant.Content{LegalBasis: "EPOC-TRAFFIC", Authority: "DE-STA-BERLIN", Reference: "DE-2026-00042", RequestedBy: "Dr. A. Weber",
		IssuedAt: "2026-11-19T09:00:00+01:00", ValidFrom: "2026-11-19T09:00:00+01:00",
		Categories: []warrant.Category{warrant.Identity, warrant.History, warrant.TimeCategory}, Targets: []string{"192.0.2.17", "line:L-1001"},
		WindowStart: "2026-11-18T00:00:00+01:00", WindowEnd: "2026-11-19T00:00:00+01:00", Priority: warrant.TenDaysSubjectToEA, EnforcingAuthorityNotified: true}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("content %+v\nwant    %+v", c, want)
	}
	open := map[string]string{}
	for _, q := range form.Open() {
		open[q.Field] += q.Why + "; "
	}
	for field, why := range map[string]string{"authority": "registry", "valid_until": "not in the form", "recipient": "DE-BKA (section L)",
		"document_sha256": "as it was received", "requested_by": "call that one back too", "targets": "port", "": "DE-2026-00017"} {
		if !strings.Contains(open[field], why) {
			t.Errorf("open: %s: %q, want %q", field, open[field], why)
		}
	}
	// Every basis that a form may lead to is in the Union's profile.
	profile, err := warrant.LoadProfile(warrant.Union)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"EPOC-SUBSCRIBER", "EPOC-USER", "EPOC-TRAFFIC", "EPOC-PR"} {
		if _, ok := profile.Basis(id); !ok {
			t.Errorf("%s is in no profile", id)
		}
	}
}

// Everything that a form lacks or contradicts itself in is listed, and at once.
func TestContradictions(t *testing.T) {
	tests := []struct {
		name string
		edit func(*epoc.Form)
		want []string
	}{
		{"nothing", func(*epoc.Form) {}, nil},
		{"an empty form", func(f *epoc.Form) { *f = epoc.Form{} }, []string{"addressee.name", "addressee.role", "case_number", "identifier", "issued_at", "issuing_authority.country", "issuing_authority.id",
			"issuing_authority.name", "issuing_authority.office", "issuing_authority.person", "kind", "offence", "range"}},
		{"no offence", func(f *epoc.Form) { f.Offence = "" }, []string{"offence"}},
		{"another addressee, of no emergency", func(f *epoc.Form) { f.Addressee.Role = epoc.OtherAddressee }, []string{"addressee.role"}},
		{"another addressee in an emergency", func(f *epoc.Form) {
			f.Addressee.Role, f.Deadline, f.Emergency, f.EmergencyReason = epoc.OtherAddressee, epoc.EightHours, true, "a life"
		}, nil},
		{"transferred to nobody", func(f *epoc.Form) { f.TransferTo = &epoc.Receiver{} }, []string{"transfer_to.id", "transfer_to.name"}},
		{"a prosecutor alone, for traffic data", func(f *epoc.Form) { f.ValidatingAuthority = nil }, []string{"validating_authority"}},
		{"the police, for subscriber data", func(f *epoc.Form) {
			f.Data, f.Traffic, f.ValidatingAuthority, f.IssuingAuthority.Office = []epoc.Data{epoc.SubscriberData}, nil, nil, epoc.OtherOffice
		}, []string{"validating_authority"}},
		{"validated by the police", func(f *epoc.Form) { f.ValidatingAuthority.Office = epoc.OtherOffice }, []string{"validating_authority.office"}},
		{"not of the Union", func(f *epoc.Form) { f.IssuingAuthority.Country = "US" }, []string{"issuing_authority.country"}},
		{"content data", func(f *epoc.Form) { f.Data = append(f.Data, epoc.ContentData) }, []string{"data[2]"}},
		{"data twice", func(f *epoc.Form) { f.Data = append(f.Data, epoc.TrafficData) }, []string{"data[2]"}},
		{"traffic of no kind", func(f *epoc.Form) { f.Traffic = nil }, []string{"traffic"}},
		{"traffic that is not ordered", func(f *epoc.Form) { f.Data = []epoc.Data{epoc.SubscriberData} }, []string{"traffic"}},
		{"eight hours and no emergency", func(f *epoc.Form) { f.Deadline = epoc.EightHours }, []string{"emergency"}},
		{"an emergency without its reason", func(f *epoc.Form) { f.Deadline, f.Emergency = epoc.EightHours, true }, []string{"emergency_reason"}},
		{"an emergency of ten days", func(f *epoc.Form) { f.Emergency, f.EmergencyReason = true, "a life" }, []string{"emergency"}},
		{"a notice that nobody waits for", func(f *epoc.Form) { f.Deadline = epoc.TenDaysASAP }, []string{"deadline"}},
		{"waiting for nobody", func(f *epoc.Form) { f.EnforcingAuthority.Notified = false }, []string{"enforcing_authority"}},
		{"another deadline", func(f *epoc.Form) { f.Deadline = "Soon" }, []string{"deadline"}},
		{"an annex of the other form", func(f *epoc.Form) { f.AnnexV = true }, []string{"annex_v"}},
		{"two ranges", func(f *epoc.Form) { f.Ranges = append(f.Ranges, f.Ranges[0]) }, []string{"range"}},
		{"a time without a zone", func(f *epoc.Form) { f.Ranges[0].From = "2026-11-18T00:00:00" }, []string{"range.from"}},
		{"a network", func(f *epoc.Form) { f.Identifiers[0].Value = "192.0.2.0/24" }, []string{"identifier[0].value"}},
		{"an e-mail address", func(f *epoc.Form) { f.Identifiers[1].Kind = "EMAIL" }, []string{"identifier[1].kind"}},
		{"a line with a port", func(f *epoc.Form) { f.Identifiers[1].Port = 1 }, []string{"identifier[1].port"}},
		{"preservation", func(f *epoc.Form) { f.Kind, f.Deadline, f.Data, f.Traffic = epoc.Preservation, "", nil, nil }, nil},
		{"preservation in eight hours", func(f *epoc.Form) { f.Kind, f.Deadline = epoc.Preservation, epoc.EightHours }, []string{"deadline"}},
		{"annex V of nothing", func(f *epoc.Form) { f.Kind, f.Deadline, f.AnnexV = epoc.Preservation, "", true }, []string{"preserves"}},
		{"both annexes", func(f *epoc.Form) {
			f.Kind, f.Deadline, f.AnnexV, f.AnnexVI, f.Preserves = epoc.Preservation, "", true, true, "x"
		}, []string{"annex_vi"}},
	}
	for _, test := range tests {
		form, err := epoc.Parse(read(t, "traffic.json"))
		if err != nil {
			t.Fatal(err)
		}
		test.edit(&form)
		_, refusal := form.Content()
		var got []string
		if refusal != nil {
			if refusal.Reason != reason.WarrantIncomplete {
				t.Errorf("%s: %v", test.name, refusal)
			}
			for _, v := range refusal.Violations {
				got = append(got, v.Field)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: complains of %q, want %q", test.name, got, test.want)
		}
	}
}

// Every field of a form stands in one section of the certificate, and every section
// to its last letter has fields. What is missing names the section.
func TestSections(t *testing.T) {
	for kind, last := range map[epoc.Kind]string{epoc.Production: "L", epoc.Preservation: "G"} {
		in := map[string]string{}
		for i, s := range epoc.Sections(kind) {
			if s.Letter != string(rune('A'+i)) || s.Title == "" || len(s.Fields) == 0 {
				t.Errorf("%s: section %d is %+v", kind, i, s)
			}
			for _, f := range s.Fields {
				if in[f] != "" {
					t.Errorf("%s: %s is in %s and %s", kind, f, in[f], s.Letter)
				}
				in[f] = s.Letter
			}
		}
		if sections := epoc.Sections(kind); sections[len(sections)-1].Letter != last {
			t.Errorf("%s ends with section %s", kind, sections[len(sections)-1].Letter)
		}
		form := reflect.TypeFor[epoc.Form]()
		known := map[string]bool{}
		for i := range form.NumField() {
			name := form.Field(i).Tag.Get("json")
			known[name] = true
			if kind == epoc.Production && in[name] == "" && name != "annex_v" && name != "annex_vi" && name != "preserves" {
				t.Errorf("%s is in no section", name)
			}
		}
		for name := range in {
			if !known[name] {
				t.Errorf("%s: a form has no %s", kind, name)
			}
		}
		_, refusal := epoc.Form{Kind: kind}.Content()
		for _, v := range refusal.Violations {
			field, _, _ := strings.Cut(v.Field, ".")
			if !strings.HasSuffix(v.Description, "(section "+in[field]+")") {
				t.Errorf("%s: %s: %q names no section", kind, v.Field, v.Description)
			}
		}
	}
}

// Nothing of a form is read but what a form has, in either encoding.
func TestRefused(t *testing.T) {
	x := func(inner string) string { return "<epoc><kind>EPOC</kind>" + inner + "</epoc>" }
	entities := `<!DOCTYPE epoc [<!ENTITY a "aaaaaaaaaa">`
	for i := 'b'; i < 'k'; i++ {
		entities += `<!ENTITY ` + string(i) + ` "` + strings.Repeat("&"+string(i-1)+";", 10) + `">`
	}
	for name, text := range map[string]string{
		"a billion laughs":           entities + `]><epoc><kind>&j;</kind></epoc>`,
		"an external entity":         `<!DOCTYPE epoc [<!ENTITY x SYSTEM "file:///etc/passwd">]><epoc><kind>&x;</kind></epoc>`,
		"an external document type":  `<!DOCTYPE epoc SYSTEM "http://192.0.2.1/a.dtd"><epoc><kind>EPOC</kind></epoc>`,
		"an entity of nobody":        x("<case_number>&x;</case_number>"),
		"a processing instruction":   x(`<?xml-stylesheet href="a"?>`),
		"an attribute":               `<epoc version="2"><kind>EPOC</kind></epoc>`,
		"a namespace":                `<epoc xmlns="urn:x"><kind>EPOC</kind></epoc>`,
		"an unknown element":         x("<secret>1</secret>"),
		"an element twice":           x("<kind>EPOC-PR</kind>"),
		"an object twice":            x("<enforcing_authority/><enforcing_authority/>"),
		"a text among elements":      x("EPOC"),
		"an element in a text":       x("<case_number><b>1</b></case_number>"),
		"two roots":                  x("") + x(""),
		"another root":               "<order><kind>EPOC</kind></order>",
		"text after the root":        x("") + "x",
		"another encoding":           `<?xml version="1.0" encoding="utf-16"?>` + x(""),
		"a port of 2^16":             x("<identifier><port>65536</port></identifier>"),
		"a port of 2^63":             x("<identifier><port>9223372036854775808</port></identifier>"),
		"not a boolean":              x("<emergency>yes</emergency>"),
		"an invisible character":     x("<case_number>1\u200b2</case_number>"),
		"a long text":                x("<case_number>" + strings.Repeat("1", 3000) + "</case_number>"),
		"many elements":              x(strings.Repeat("<data>TRAFFIC</data>", 3000)),
		"depth":                      strings.Repeat("<epoc>", 5000) + strings.Repeat("</epoc>", 5000),
		"not closed":                 "<epoc><kind>EPOC</kind>",
		"bytes":                      "<epoc>\xff</epoc>",
		"nothing":                    "",
		"JSON: an unknown key":       `{"kind":"EPOC","secret":1}`,
		"JSON: a key of other case":  `{"KIND":"EPOC"}`,
		"JSON: a key twice":          `{"kind":"EPOC","kind":"EPOC-PR"}`,
		"JSON: null":                 `{"kind":null}`,
		"JSON: a list of one":        `{"kind":["EPOC","EPOC-PR"]}`,
		"JSON: a list in a list":     `{"data":[["TRAFFIC"]]}`,
		"JSON: a number for a text":  `{"kind":1}`,
		"JSON: a text for a boolean": `{"emergency":"true"}`,
		"JSON: two values":           `{"kind":"EPOC"}{}`,
		"JSON: a list":               `[{"kind":"EPOC"}]`,
		"JSON: depth":                strings.Repeat(`{"issuing_authority":`, 100),
		"JSON: cut":                  `{"kind":"EPOC"`,
		"too long":                   x("<case_number>" + strings.Repeat(" ", epoc.MaxBytes) + "</case_number>"),
	} {
		if f, err := epoc.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, f)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "passwd") {
			t.Errorf("%s: the error repeats the input: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(read(f, "traffic.xml"))
	f.Add(read(f, "traffic.json"))
	f.Add([]byte(`<epoc><kind>EPOC-PR</kind><annex_vi>true</annex_vi><preserves>x</preserves></epoc>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		form, err := epoc.Parse(data)
		if err != nil {
			return
		}
		c, refusal := form.Content()
		if refusal == nil && (c.LegalBasis == "" || len(c.Targets) == 0 || c.WindowStart == "" || c.Reference == "" || c.ValidUntil != "") {
			t.Fatalf("%q: %+v", data, c)
		}
		for _, target := range c.Targets {
			if _, err := warrant.ParseTarget(target); err != nil {
				t.Fatalf("%q: target %q", data, target)
			}
		}
	})
}
