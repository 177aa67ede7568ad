package warrant_test

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"griffier/api/reason"
	"griffier/api/warrant"
)

func TestParseInstant(t *testing.T) {
	tests := []struct {
		in, utc string
		want    reason.Reason
		detail  string
	}{
		{"2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z", "", ""},
		{"2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z", "", ""},
		{"2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z", "", ""},
		{"2026-10-25T02:30:00.125-03:30", "2026-10-25T06:00:00.125Z", "", ""},
		{"2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z", "", ""},
		{"", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30:00", "", reason.TimeZoneMissing, ""},
		{"2026-10-25 02:30:00+02:00", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30+02:00", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30:00+0200", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30:00 CEST", "", reason.TimeZoneMissing, ""},
		{"2026-10-25t02:30:00z", "", reason.TimeZoneMissing, "upper case"},
		{"2026-10-25T24:00:00Z", "", reason.TimeZoneMissing, "Hour 24"},
		{"2026-06-30T23:59:60Z", "", reason.TimeZoneMissing, "leap second"},
		{"2026-10-25T02:30:00-00:00", "", reason.TimeZoneMissing, "unknown"},
		{"2026-10-25T02:30:00+15:00", "", reason.TimeZoneMissing, "No zone"},
		{"2026-10-25T02:30:00+02:75", "", reason.TimeZoneMissing, "No zone"},
		{"2026-02-29T12:00:00Z", "", reason.TimeZoneMissing, "no such date"},
		{"2026-10-25T02:61:00Z", "", reason.TimeZoneMissing, "no such date"},
		{"1969-12-31T23:59:59Z", "", reason.TimeZoneMissing, "no such date"},
		{"2026-10-25T02:30:00,5Z", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30:00.1234567890Z", "", reason.TimeZoneMissing, ""},
		{" 2026-10-25T02:30:00Z", "", reason.TimeZoneMissing, ""},
		{"25-10-2026 02:30", "", reason.TimeZoneMissing, ""},
		{"2026-10-25T02:30:00 Europe/Amsterdam", "", reason.TimeAmbiguousDST, "2026-10-25T00:30:00Z, 2026-10-25T01:30:00Z"},
		{"2026-10-25 02:30:00[Europe/Amsterdam]", "", reason.TimeAmbiguousDST, "2026-10-25T00:30:00Z, 2026-10-25T01:30:00Z"},
		{"2026-03-29T02:30:00 Europe/Amsterdam", "", reason.TimeNonexistentDST, ""},
		{"2026-07-01T02:30:00 Europe/Brussels", "", reason.TimeZoneMissing, "2026-07-01T02:30:00+02:00"},
		{"2026-07-01T02:30:00 Atlantis/Capital", "", reason.TimeZoneMissing, "not known"},
		{strings.Repeat("2", 65), "", reason.TimeZoneMissing, "longer"},
	}
	for _, test := range tests {
		got, err := warrant.ParseInstant(test.in)
		wantReason(t, test.in, err, test.want)
		if err == nil && got.UTC().Format(time.RFC3339Nano) != test.utc {
			t.Errorf("ParseInstant(%q) = %v, want %s", test.in, got.UTC(), test.utc)
		}
		if err != nil && !strings.Contains(err.Detail, test.detail) {
			t.Errorf("ParseInstant(%q) says %q, want %q in it", test.in, err.Detail, test.detail)
		}
	}
}

func FuzzParseInstant(f *testing.F) {
	for _, s := range []string{"2026-10-25T00:30:00Z", "2026-10-25T02:30:00.5+02:00", "2026-10-25T02:30:00 Europe/Amsterdam",
		"2026-10-25T24:00:00Z", "2026-03-29 02:30:00[Europe/Amsterdam]", "-00:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := warrant.ParseInstant(s)
		if err != nil {
			if err.Reason != reason.TimeZoneMissing && err.Reason != reason.TimeAmbiguousDST && err.Reason != reason.TimeNonexistentDST {
				t.Errorf("ParseInstant(%q): %v", s, err)
			}
			return
		}
		// What is accepted says what it means: the text is its own instant.
		again, perr := time.Parse(time.RFC3339Nano, s)
		if perr != nil || !again.Equal(got) {
			t.Errorf("ParseInstant(%q) = %v, but RFC 3339 says %v, %v", s, got, again, perr)
		}
	})
}

func TestParseTarget(t *testing.T) {
	tests := []struct {
		in, want string
	}{
		{"192.0.2.17", "192.0.2.17"},
		{"2001:DB8:0:0::17", "2001:db8::17"},
		{"::ffff:192.0.2.17", "192.0.2.17"},
		{"192.0.2.17/32", ""}, {"192.0.2.0/24", ""}, {"2001:db8::/32", ""}, {"2001:db8::17/128", ""},
		{"192.0.2.1-192.0.2.9", ""}, {"192.0.2.*", ""}, {"%", ""}, {"*", ""}, {"", ""}, {" 192.0.2.17", ""},
		{"192.0.2", ""}, {"192.0.02.17", ""}, {"fe80::1%eth0", ""}, {"example.org", ""},
		{"0.0.0.0", ""}, {"::", ""}, {"224.0.0.1", ""}, {"ff02::1", ""}, {"127.0.0.1", ""}, {"::1", ""}, {"255.255.255.255", ""},
		{"192.0.2.17,192.0.2.18", ""}, {"１９２.0.2.17", ""},
		{"192.0.2.17:80", "192.0.2.17:80"}, {"192.0.2.17:80/TCP", "192.0.2.17:80/tcp"}, {"[2001:DB8::17]:443/udp", "[2001:db8::17]:443/udp"},
		{"192.0.2.17:0", ""}, {"192.0.2.17:65536", ""}, {"192.0.2.17:080", ""}, {"192.0.2.17:+80", ""}, {"192.0.2.17:80/", ""}, {"192.0.2.17:80/gre", ""},
		{"192.0.2.17:80-90", ""}, {"224.0.0.1:80", ""}, {"192.0.2.17/tcp", ""},
		{"2001:db8:1:2300::/56", "2001:db8:1:2300::/56"}, {"2001:DB8:1::/48", "2001:db8:1::/48"}, {"2001:db8:1:2:0::/64", "2001:db8:1:2::/64"},
		{"2001:db8:1:2301::/56", ""}, {"2001:db8::/47", ""}, {"2001:db8:1:2:3::/80", ""}, {"::/48", ""}, {"ff02::/48", ""}, {"::ffff:192.0.2.0/120", ""},
		{"line:A-1.b_2", "line:A-1.b_2"}, {"line:", ""}, {"line:a b", ""}, {"line:A*", ""}, {"line:%", ""}, {"LINE:a", ""}, {"line:a\u0430", ""},
		{"circuit:ge-0/0/1:100.7", "circuit:ge-0/0/1:100.7"}, {"circuit:eth 0/1", "circuit:eth 0/1"}, {"circuit:0x00FF", "circuit:0x00ff"}, {"circuit:", ""},
		{"circuit: eth0", ""}, {"circuit:eth*", ""}, {"circuit:a\x00", ""}, {"circuit:0x0", "circuit:0x0"}, {"circuit:0x012", ""},
		{"radius:alice@isp.example", "radius:alice@isp.example"}, {"radius:", ""}, {"radius:a b", ""}, {"radius:%@isp.example", ""}, {"radius:\u0430lice", ""},
		{"mac:AA-BB-CC-DD-EE-FF", "mac:aa:bb:cc:dd:ee:ff"}, {"mac:aabb.ccdd.eeff", "mac:aa:bb:cc:dd:ee:ff"}, {"mac:aa:bb:cc", ""}, {"mac:ff:ff:ff:ff:ff:ff", ""},
		{"mac:00:00:00:00:00:00", ""}, {"mac:01:00:5e:00:00:01", ""}, {"mac:aa:bb:cc:dd:ee:ff:00:11", ""},
		{"person:Jos\u00e9 d'Hondt-van Dam;1234 ab;7", "person:Jos\u00e9 d'Hondt-van Dam;1234AB;7"}, {"person:Jose\u0301 Jansen;1000;7;bus 2", "person:Jos\u00e9 Jansen;1000;7;BUS 2"},
		{"person:Jan*;1234AB;7", ""}, {"person:J\u0430n Jansen;1234AB;7", ""}, {"person:Jan Jansen;;7", ""}, {"person:Jan Jansen;1234AB;", ""}, {"person:Jan Jansen", ""},
		{"person: Jan;1234AB;7", ""}, {"person:Jan  Jansen;1234AB;7", ""}, {"person:J;1234AB;7", ""}, {"person:Jan\x00sen;1234AB;7", ""}, {"person:Jan\u202eJansen;1234AB;7", ""},
		{"address:1234AB;7", "address:1234AB;7"}, {"address:1234 ab;7;a", "address:1234AB;7;A"}, {"address:1234AB;7-9", ""}, {"address:12%;7", ""}, {"address:12;7", ""},
		{"address:1234AB;007", ""}, {"address:1234AB;7;A;B", ""}, {"address:1234AB", ""}, {"address:1234AB;*", ""},
	}
	for _, test := range tests {
		got, err := warrant.ParseTarget(test.in)
		if test.want == "" {
			wantReason(t, test.in, err, reason.TargetNotSpecific)
		} else if err != nil || got.String() != test.want {
			t.Errorf("ParseTarget(%q) = %v, %v, want %s", test.in, got, err, test.want)
		}
	}
}

// TestTargetsAreRefusedWithAReason, which repeats nothing of them.
func TestTargetsAreRefusedWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.*": "a wildcard or a zone", "fe80::1%eth0": "a wildcard or a zone", "person:Jan*;1234AB;7": "a wildcard",
		"192.0.2.0/24": "only a delegated one", "2001:db8:1:2301::/56": "only a delegated one", "192.0.2.17/32": "only a delegated one",
		"person:J\u0430n Jansen;1234AB;7": "no Latin letter", "person:Jan\u202eJansen;1234AB;7": "no Latin letter", "person:Jan Jansen": "person:NAME;POSTCODE;NUMBER",
		"radius:\u0430lice": "may look like another", "\uff11\uff19\uff12.0.2.17": "may look like another", "circuit:a\x00": "not seen",
		"line:a b": "line:ID", "mac:aa:bb:cc": "mac:AA:BB", "address:12;7": "address:POSTCODE;NUMBER", "127.0.0.1": "No line can hold", "example.org": "begins with none of", "192.0.2.17:80/gre": "begins with none of",
	} {
		_, err := warrant.ParseTarget(in)
		if err == nil || !strings.Contains(err.Detail, want) || strings.Contains(err.Detail, in) {
			t.Errorf("ParseTarget(%q): %v, want it to say %q", in, err, want)
		}
		c := testContent()
		c.Targets = []string{in}
		if _, err := c.Validate(start); err == nil || len(err.Violations) != 1 || !strings.Contains(err.Violations[0].Description, want) {
			t.Errorf("a content with %q: %v, want it to say %q", in, err, want)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"192.0.2.17", "2001:db8::17", "192.0.2.0/24", "::ffff:192.0.2.17", "fe80::1%eth0", "192.0.2.17:80/tcp",
		"2001:db8:1:2300::/56", "line:a-1", "circuit:0x0001", "radius:alice@isp.example", "mac:aa:bb:cc:dd:ee:ff", "person:Jan Jansen;1234 AB;7;a", "address:1234AB;7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := warrant.ParseTarget(s)
		if err != nil {
			return
		}
		if again, err := warrant.ParseTarget(a.String()); err != nil || again != a || !a.Names(again) {
			t.Errorf("ParseTarget(%q) = %v, which reads back as %v, %v", s, a, again, err)
		}
		if strings.ContainsAny(s, "*%") || strings.ContainsFunc(a.String(), func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("ParseTarget(%q) = %v", s, a)
		}
		switch {
		case a.Kind == warrant.TargetAddress && (!a.Address.IsValid() || a.Address.IsUnspecified() || a.Address.IsMulticast() || a.Address.Is4In6()):
			t.Errorf("ParseTarget(%q) = %v", s, a)
		case a.Kind == warrant.TargetPrefix && (a.Prefix.Bits() < warrant.MinPrefixBits || a.Prefix.Addr().Is4() || a.Prefix != a.Prefix.Masked()):
			t.Errorf("ParseTarget(%q) = %v", s, a)
		}
	})
}

// A warrant that names a port covers a question about that port, and no other; one
// that names the address covers all of them.
func TestTargetNames(t *testing.T) {
	for _, test := range []struct {
		warrant, task string
		want          bool
	}{
		{"192.0.2.17", "192.0.2.17", true}, {"192.0.2.17", "192.0.2.17:80", true}, {"192.0.2.17", "192.0.2.17:80/tcp", true}, {"192.0.2.17", "192.0.2.18", false},
		{"192.0.2.17:80", "192.0.2.17", false}, {"192.0.2.17:80", "192.0.2.17:81", false}, {"192.0.2.17:80", "192.0.2.17:80/udp", true},
		{"192.0.2.17:80/tcp", "192.0.2.17:80", false}, {"192.0.2.17:80/tcp", "192.0.2.17:80/udp", false}, {"192.0.2.17:80/tcp", "192.0.2.17:80/tcp", true},
		{"2001:db8:1:2300::/56", "2001:db8:1:2300::1", false}, {"2001:db8:1:2300::1", "2001:db8:1:2300::/56", false}, {"2001:db8:1:2300::/56", "2001:db8:1:2300::/56", true},
		{"line:a", "line:A", false}, {"line:a", "circuit:a", false}, {"address:1234AB;7", "person:Jan Jansen;1234AB;7", false}, {"address:1234AB;7", "address:1234 ab;7", true},
	} {
		named, err := warrant.ParseTarget(test.warrant)
		asked, err2 := warrant.ParseTarget(test.task)
		if err != nil || err2 != nil || named.Names(asked) != test.want {
			t.Errorf("a warrant of %s and a task of %s: %v, %v, %v", test.warrant, test.task, !test.want, err, err2)
		}
	}
}

func TestContentListsEverything(t *testing.T) {
	_, err := warrant.Content{}.Validate(start)
	wantReason(t, "empty", err, reason.WarrantIncomplete)
	want := []string{"legal_basis", "authority", "reference", "requested_by", "issued_at", "valid_from", "valid_until",
		"window_start", "window_end", "document_sha256", "categories", "targets", "recipient"}
	got := map[string]bool{}
	for _, v := range err.Violations {
		got[v.Field] = true
	}
	for _, field := range want {
		if !got["content."+field] {
			t.Errorf("%s is not reported as missing", field)
		}
	}
	if len(err.Violations) != len(want) {
		t.Errorf("%d violations, want %d: %v", len(err.Violations), len(want), err)
	}
	if _, err := testContent().Validate(start); err != nil {
		t.Errorf("a complete content is refused: %v", err)
	}
}

func TestContentFaults(t *testing.T) {
	tests := []struct {
		name   string
		change func(*warrant.Content)
		want   reason.Reason
		fields string
	}{
		{"instant without offset", func(c *warrant.Content) { c.WindowStart = "2026-11-19T00:00:00" }, reason.TimeZoneMissing, "window_start"},
		{"two instants without offset", func(c *warrant.Content) { c.WindowStart, c.WindowEnd = "2026-11-19T00:00:00", "2026-11-20T00:00:00" },
			reason.TimeZoneMissing, "window_start window_end"},
		{"clock change", func(c *warrant.Content) { c.WindowStart = "2026-10-25T02:30:00 Europe/Amsterdam" }, reason.TimeAmbiguousDST, "window_start"},
		{"prefix", func(c *warrant.Content) { c.Targets = []string{"192.0.2.0/24"} }, reason.TargetNotSpecific, "targets[0]"},
		{"too many targets", func(c *warrant.Content) { c.Targets = make([]string, warrant.MaxTargets+1) }, reason.TargetNotSpecific, "targets"},
		{"same target twice", func(c *warrant.Content) { c.Targets = []string{"2001:db8::1", "2001:DB8:0::1"} }, reason.WarrantIncomplete, "targets[1]"},
		{"prefix and no reference", func(c *warrant.Content) { c.Targets, c.Reference = []string{"10.0.0.0/8"}, "" }, reason.WarrantIncomplete, "reference targets[0]"},
		{"homoglyph in reference", func(c *warrant.Content) { c.Reference = "РV-2026" }, reason.WarrantIncomplete, "reference"},
		{"trailing space", func(c *warrant.Content) { c.Reference += " " }, reason.WarrantIncomplete, "reference"},
		{"control character in name", func(c *warrant.Content) { c.RequestedBy = "A\nB" }, reason.WarrantIncomplete, "requested_by"},
		{"issued tomorrow", func(c *warrant.Content) { c.IssuedAt = "2026-11-21T00:00:00Z" }, reason.WarrantIncomplete, "issued_at"},
		{"ends before it begins", func(c *warrant.Content) { c.ValidUntil = c.ValidFrom }, reason.WarrantIncomplete, "valid_until"},
		{"empty window", func(c *warrant.Content) { c.WindowEnd = c.WindowStart }, reason.WarrantIncomplete, "window_end"},
		{"upper case hash", func(c *warrant.Content) { c.DocumentSHA256 = strings.ToUpper(c.DocumentSHA256) }, reason.WarrantIncomplete, "document_sha256"},
		{"unknown category", func(c *warrant.Content) { c.Categories = []warrant.Category{"CONTENT"} }, reason.WarrantIncomplete, "categories[0]"},
		{"category twice", func(c *warrant.Content) { c.Categories = []warrant.Category{"TIME", "TIME"} }, reason.WarrantIncomplete, "categories[1]"},
		{"recipient", func(c *warrant.Content) { c.Recipient = "age1nonsense" }, reason.WarrantIncomplete, "recipient"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := testContent()
			test.change(&c)
			_, err := c.Validate(start)
			wantReason(t, test.name, err, test.want)
			if err == nil {
				return
			}
			var fields []string
			for _, v := range err.Violations {
				fields = append(fields, strings.TrimPrefix(v.Field, "content."))
			}
			if got := strings.Join(fields, " "); got != test.fields {
				t.Errorf("fields %q, want %q", got, test.fields)
			}
			if strings.Contains(err.Error(), "10.0.0.0") || strings.Contains(err.Error(), "192.0.2") {
				t.Errorf("the refusal repeats a target: %v", err)
			}
		})
	}
}

func TestCanonical(t *testing.T) {
	a, b := testContent(), testContent()
	b.Targets = []string{"2001:DB8::0:17", "192.0.2.17"}
	b.Categories = []warrant.Category{warrant.Attribution, warrant.Identity}
	if !bytes.Equal(a.Canonical(), b.Canonical()) || a.Hash("s") != b.Hash("s") {
		t.Error("the same content in another notation has another canonical form")
	}
	if a.Hash("s") == a.Hash("t") {
		t.Error("the salt does not change the hash")
	}
	changes := []func(*warrant.Content){
		func(c *warrant.Content) { c.Targets = c.Targets[:1] },
		func(c *warrant.Content) { c.WindowEnd = "2026-11-20T00:00:01+01:00" },
		func(c *warrant.Content) { c.ValidUntil = "2026-11-27T08:00:00Z" }, // same instant, not what the letter says
		func(c *warrant.Content) { c.ExaminingMagistrateAuthorisation = "RC-1" },
		func(c *warrant.Content) { c.RequestedBy = "J. de Vriès" },
	}
	for i, change := range changes {
		c := testContent()
		change(&c)
		if c.Hash("s") == a.Hash("s") {
			t.Errorf("change %d keeps the hash", i)
		}
	}
	if a.Targets[0] != "192.0.2.17" {
		t.Error("Canonical changed its receiver")
	}
}
