package register

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

func ts(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

func goodLine() *griffierv1.PutLineRequest {
	return &griffierv1.PutLineRequest{
		LineId: "L-1", AccountId: "acc-1", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: ts(start2020),
		Identifiers: []*griffierv1.AccessIdentifier{{Identifier: "radius-user:jan", ValidFrom: ts(start2020)}},
		Person: &griffierv1.Person{Name: "Jan", InstallationAddress: &griffierv1.PostalAddress{
			HouseNumber: "7", Postcode: "1234AB", Country: "NL"}},
	}
}

func fields(err error) []string {
	var out []string
	if refused := reason.From(err); refused != nil && refused.Reason == reason.InvalidRequest {
		for _, v := range refused.Violations {
			out = append(out, v.Field)
		}
	}
	return out
}

func TestPutLineViolations(t *testing.T) {
	if _, _, _, err := parseLine(goodLine()); err != nil {
		t.Fatalf("the good line: %v", err)
	}
	year := func(y int) *timestamppb.Timestamp { return ts(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)) }
	for name, c := range map[string]struct {
		change func(r *griffierv1.PutLineRequest)
		want   []string
	}{
		"everything at once": {func(r *griffierv1.PutLineRequest) { proto.Reset(r) },
			[]string{"line_id", "account_id", "time_zone", "billing_day", "contract_start", "person.name", "person.installation_address"}},
		"ids":          {func(r *griffierv1.PutLineRequest) { r.LineId, r.AccountId = "a b", strings.Repeat("x", 65) }, []string{"line_id", "account_id"}},
		"local zone":   {func(r *griffierv1.PutLineRequest) { r.TimeZone = "Local" }, []string{"time_zone"}},
		"unknown zone": {func(r *griffierv1.PutLineRequest) { r.TimeZone = "Europe/Utrecht" }, []string{"time_zone"}},
		"billing day":  {func(r *griffierv1.PutLineRequest) { r.BillingDay = 32 }, []string{"billing_day"}},
		"ends first":   {func(r *griffierv1.PutLineRequest) { r.ContractEnd = r.ContractStart }, []string{"contract_end"}},
		"too early":    {func(r *griffierv1.PutLineRequest) { r.ContractStart = year(1899) }, []string{"contract_start"}},
		"too late":     {func(r *griffierv1.PutLineRequest) { r.ContractEnd = year(2201) }, []string{"contract_end"}},
		"identifiers": {func(r *griffierv1.PutLineRequest) {
			r.Identifiers = []*griffierv1.AccessIdentifier{{Identifier: "passport:X1"}, {Identifier: "radius-user:", ValidFrom: ts(start2020)}}
		}, []string{"identifiers.identifier", "identifiers.valid_from", "identifiers.identifier"}},
		"identifier twice": {func(r *griffierv1.PutLineRequest) {
			r.Identifiers = append(r.Identifiers, &griffierv1.AccessIdentifier{Identifier: "radius-user:jan", ValidFrom: ts(start2024)})
		}, []string{"identifiers"}},
		"too many": {func(r *griffierv1.PutLineRequest) {
			for i := range 100 {
				r.Identifiers = append(r.Identifiers, &griffierv1.AccessIdentifier{Identifier: "radius-user:x" + string(rune('A'+i)), ValidFrom: ts(start2020)})
			}
		}, []string{"identifiers"}},
		"no letter": {func(r *griffierv1.PutLineRequest) { r.Person.Name = " -- " }, []string{"person.name"}},
		"long name": {func(r *griffierv1.PutLineRequest) { r.Person.Name = strings.Repeat("x", 257) }, []string{"person.name"}},
		"only billing": {func(r *griffierv1.PutLineRequest) {
			r.Person.BillingAddress, r.Person.InstallationAddress = r.Person.InstallationAddress, nil
		}, []string{"person.installation_address"}},
		"long street": {func(r *griffierv1.PutLineRequest) { r.Person.InstallationAddress.Street = strings.Repeat("x", 257) }, []string{"person"}},
	} {
		req := goodLine()
		c.change(req)
		_, _, _, err := parseLine(req)
		if got := fields(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: violations of %v, want %v (%v)", name, got, c.want, err)
		}
		if err != nil && (strings.Contains(err.Error(), "jan") || strings.Contains(err.Error(), "passport")) {
			t.Errorf("%s: the refusal repeats what was sent: %v", name, err)
		}
	}
}

func TestPutRangeViolations(t *testing.T) {
	for name, c := range map[string]struct {
		req  *griffierv1.PutRangeRequest
		want []string
	}{
		"good":          {&griffierv1.PutRangeRequest{Prefix: "192.0.2.0/24", ValidFrom: ts(start2020)}, nil},
		"good, v6":      {&griffierv1.PutRangeRequest{Prefix: "2001:db8::/32", ValidFrom: ts(start2020), ValidTo: ts(start2024)}, nil},
		"empty":         {&griffierv1.PutRangeRequest{}, []string{"prefix", "valid_from"}},
		"host bits":     {&griffierv1.PutRangeRequest{Prefix: "192.0.2.1/24", ValidFrom: ts(start2020)}, []string{"prefix"}},
		"no length":     {&griffierv1.PutRangeRequest{Prefix: "192.0.2.1", ValidFrom: ts(start2020)}, []string{"prefix"}},
		"v4-mapped":     {&griffierv1.PutRangeRequest{Prefix: "::ffff:192.0.2.0/120", ValidFrom: ts(start2020)}, []string{"prefix"}},
		"two lines":     {&griffierv1.PutRangeRequest{Prefix: "192.0.2.0/24", Provider: "a\nb", ValidFrom: ts(start2020)}, []string{"provider"}},
		"ends first":    {&griffierv1.PutRangeRequest{Prefix: "192.0.2.0/24", ValidFrom: ts(start2024), ValidTo: ts(start2020)}, []string{"valid_to"}},
		"far too early": {&griffierv1.PutRangeRequest{Prefix: "192.0.2.0/24", ValidFrom: ts(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))}, []string{"valid_from"}},
		"translation":   {translated(func(*griffierv1.DeterministicTranslation) {}), nil},
		"exhausted":     {translated(func(d *griffierv1.DeterministicTranslation) { d.PortsPerSubscriber = 4033 }), []string{"translation.ports_per_subscriber"}},
		"no layout":     {translated(func(d *griffierv1.DeterministicTranslation) { d.Layout = 0 }), []string{"translation"}},
		"port 65536":    {translated(func(d *griffierv1.DeterministicTranslation) { d.FirstPort = 65536 }), []string{"translation"}},
		"no inside":     {translated(func(d *griffierv1.DeterministicTranslation) { d.InsidePrefix = "100.64.0.0" }), []string{"translation"}},
		"inside v6":     {translated(func(d *griffierv1.DeterministicTranslation) { d.InsidePrefix = "2001:db8::/64" }), []string{"translation"}},
	} {
		rg, err := parseRange(c.req)
		if got := fields(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: violations of %v, want %v (%v)", name, got, c.want, err)
		}
		if name == "good" && !rg.ValidTo.Equal(schema.Forever) {
			t.Errorf("an absent end is %v, want for ever", rg.ValidTo)
		}
	}
}

// translated is a range of 16 addresses with 16 blocks each for 256 subscribers.
func translated(change func(*griffierv1.DeterministicTranslation)) *griffierv1.PutRangeRequest {
	d := &griffierv1.DeterministicTranslation{Layout: griffierv1.DeterministicTranslation_LAYOUT_STRIPED, InsidePrefix: "100.64.0.0/24",
		FirstPort: 1024, PortsPerSubscriber: 4032}
	change(d)
	return &griffierv1.PutRangeRequest{Prefix: "203.0.113.0/28", ValidFrom: ts(start2020), Translation: d}
}

// FuzzPutLine: whatever a caller sends is refused or taken.
func FuzzPutLine(f *testing.F) {
	whole, _ := proto.Marshal(goodLine())
	f.Add(whole)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var req griffierv1.PutLineRequest
		if proto.Unmarshal(wire, &req) != nil {
			return
		}
		line, ids, person, err := parseLine(&req)
		if err != nil {
			if len(fields(err)) == 0 {
				t.Fatalf("refused without saying what: %v", err)
			}
			return
		}
		if !line.ContractStart.Before(line.ContractEnd) || len(ids) > maxIdentifiers || person.Name == "" || line.ContractEnd.After(schema.Forever) {
			t.Fatalf("taken: %+v %d identifiers", line, len(ids))
		}
	})
}

// Who a line belongs to and where it is has no history, so a change would be told of
// the time before as well: it is refused unless it is said to be a correction.
func TestWhoseLineItIsIsOnlyCorrected(t *testing.T) {
	o := newOffice(t)
	book := newBook(t, o)
	s := NewService(o.Register, book)
	put := func(change func(*griffierv1.PutLineRequest)) error {
		req := goodLine()
		change(req)
		_, err := s.PutLine(t.Context(), req)
		return err
	}
	if err := put(func(*griffierv1.PutLineRequest) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *griffierv1.PutLineRequest){
		"account":      func(r *griffierv1.PutLineRequest) { r.AccountId = "acc-2" },
		"name":         func(r *griffierv1.PutLineRequest) { r.Person.Name = "Piet" },
		"postcode":     func(r *griffierv1.PutLineRequest) { r.Person.InstallationAddress.Postcode = "1234AC" },
		"house number": func(r *griffierv1.PutLineRequest) { r.Person.InstallationAddress.HouseNumber = "7a" },
	} {
		before := book.Size()
		if got := fields(put(change)); !slices.Equal(got, []string{"corrects"}) {
			t.Errorf("%s: violations of %v, want corrects", name, got)
		}
		if book.Size() != before {
			t.Errorf("%s: a refused change is in the ledger as made", name)
		}
	}
	for _, taken := range []struct {
		name     string
		change   func(r *griffierv1.PutLineRequest)
		corrects bool // as the ledger has it
	}{
		{"as before", func(*griffierv1.PutLineRequest) {}, false},
		{"another writing", func(r *griffierv1.PutLineRequest) {
			r.Person.Name, r.Person.InstallationAddress.Postcode = "JAN", "1234 ab"
		}, false},
		{"what has no past", func(r *griffierv1.PutLineRequest) {
			r.ContractEnd, r.Person.BillingAddress = ts(start2024), &griffierv1.PostalAddress{Town: "Breda"}
		}, false},
		{"nothing to correct", func(r *griffierv1.PutLineRequest) { r.Corrects = true }, false},
		{"a correction", func(r *griffierv1.PutLineRequest) {
			r.AccountId, r.Person.Name, r.Person.InstallationAddress.HouseNumber, r.Corrects = "acc-2", "Piet", "8", true
		}, true},
	} {
		if err := put(taken.change); err != nil {
			t.Errorf("%s: %v", taken.name, err)
			continue
		}
		entries, err := book.Read(t.Context(), book.Size()-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		body, err := book.Body(entries[0])
		if err != nil || strings.Contains(string(body), `"corrects":"true"`) != taken.corrects {
			t.Errorf("%s: the ledger has %s, %v; want a correction: %v", taken.name, body, err, taken.corrects)
		}
	}
	person, err := o.Identity(t.Context(), "L-1", start2020)
	if err != nil || person.Name != "Piet" || person.InstallationAddress.HouseNumber != "8" {
		t.Errorf("at the beginning it was of %q at %q, %v; want what was corrected", person.Name, person.InstallationAddress.HouseNumber, err)
	}
}

func TestErasedLineIsRefusedByName(t *testing.T) {
	o := newOffice(t)
	s := NewService(o.Register, newBook(t, o))
	if _, err := s.PutLine(context.Background(), goodLine()); err != nil {
		t.Fatal(err)
	}
	if err := o.keys.Shred(personKey("L-1")); err != nil {
		t.Fatal(err)
	}
	_, err := s.PutLine(context.Background(), goodLine())
	if got := fields(err); !slices.Equal(got, []string{"line_id"}) {
		t.Errorf("violations of %v (%v), want line_id", got, err)
	}
	if _, err := s.PutRange(context.Background(), &griffierv1.PutRangeRequest{Prefix: "192.0.2.0/24", ValidFrom: ts(start2020)}); err != nil {
		t.Errorf("range: %v", err)
	}
}
