package register

import (
	"slices"
	"testing"
	"time"

	"griffier/schema"
)

// A line is found by its equipment's bare MAC, wherever that was and however the
// network told of it, while it had it; and by nothing that only looks like it.
func TestLinesOfEquipment(t *testing.T) {
	o := newOffice(t)
	id := func(kind schema.IdentifierKind, value string, from, to time.Time) Identifier {
		return Identifier{schema.Identifier{Kind: kind, Value: value}, from, to}
	}
	o.put(t, line("L-1", "acc-1"), []Identifier{
		id(schema.IdentMAC, "eth1/100.7/02:00:00:00:00:01", start2020, start2024), id(schema.IdentMAC, "eth1/100.8/02:00:00:00:00:01", start2020, start2024.AddDate(1, 0, 0)),
		id(schema.IdentClientID, "eth1/100.7/01020000000002", start2020, schema.Forever), id(schema.IdentClientID, "eth1/100.7/ff020000000003", start2020, schema.Forever),
		id(schema.IdentCircuit, "020000000004", start2020, schema.Forever)}, someone)
	o.put(t, line("L-2", "acc-2"), []Identifier{id(schema.IdentMAC, "eth9/1.1/02:00:00:00:00:01", start2024.AddDate(1, 0, 0), schema.Forever)}, someone)
	for _, test := range []struct {
		mac  string
		at   time.Time
		want []string
	}{
		{"02:00:00:00:00:01", start2024, []string{"L-1"}}, {"02:00:00:00:00:01", start2024.AddDate(1, 0, 0), []string{"L-2"}}, {"02:00:00:00:00:02", start2024, []string{"L-1"}},
		{"02:00:00:00:00:03", start2024, nil}, {"02:00:00:00:00:04", start2024, nil}, {"02:00:00:00:00", start2024, nil}, {"02:00:00:00:00:01", start2020.Add(-time.Second), nil},
	} {
		held, err := o.LinesOfIdentifier(o.ctx, schema.Identifier{Kind: schema.IdentMAC, Value: test.mac}, test.at, test.at)
		var got []string
		for _, h := range held {
			got = append(got, h.LineID)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s at %v: %v, %v, want %v", test.mac, test.at, got, err, test.want)
		}
	}
	// Erasing the line leaves nothing to find it by.
	if err := o.Erase(o.ctx, "L-1"); err != nil {
		t.Fatal(err)
	}
	if held, err := o.LinesOfIdentifier(o.ctx, schema.Identifier{Kind: schema.IdentMAC, Value: "02:00:00:00:00:02"}, start2024, start2024); err != nil || len(held) != 0 {
		t.Errorf("after erasure: %v, %v", held, err)
	}
}

// Persons and places are found by the whole of what names them, in every way of writing
// it, and by no part of it.
func TestLinesOfSought(t *testing.T) {
	o := newOffice(t)
	at := func(name, postcode, number, country string) Person {
		return Person{Name: name, InstallationAddress: PostalAddress{"Straat", number, postcode, "Stad", country}, BillingAddress: PostalAddress{"Straat", "99", "9999ZZ", "Stad", "NL"}}
	}
	o.put(t, line("L-1", "a"), nil, at("José  d'Hondt", "1234 ab", "7-A", "NL"))
	o.put(t, line("L-2", "b"), nil, at("An d'Hondt", "1234AB", "7a", "nl"))
	o.put(t, line("L-3", "c"), nil, at("José d'Hondt", "1234AB", "71", "NL"))
	o.put(t, line("L-4", "d"), nil, at("José d'Hondt", "1234AB", "7A", "BE"))
	for _, test := range []struct {
		sought Sought
		want   []string
	}{
		{Sought{"Jose\u0301 D'HONDT", "NL", "1234AB", "7 A"}, []string{"L-1"}}, {Sought{"", "NL", "1234AB", "7 A"}, []string{"L-1", "L-2"}}, {Sought{"", "BE", "1234AB", "7 A"}, []string{"L-4"}},
		{Sought{"José d'Hondt", "NL", "1234AB", "7 1"}, nil}, {Sought{"José d'Hondt", "NL", "1234AB", "71"}, []string{"L-3"}},
		{Sought{"José", "NL", "1234AB", "7 A"}, nil}, {Sought{"d'Hondt", "NL", "1234AB", "7 A"}, nil}, {Sought{"José d'Hondt", "NL", "1234AB", "7"}, nil}, {Sought{"", "NL", "1234", "7 A"}, nil},
		{Sought{"", "NL", "9999ZZ", "99"}, nil}, {Sought{"%", "NL", "1234AB", "7 A"}, nil}, {Sought{"", "NL", "", ""}, nil},
	} {
		if got, err := o.LinesOfSought(o.ctx, test.sought, 10); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, %v, want %v", test.sought, got, err, test.want)
		}
	}
	if got, err := o.LinesOfSought(o.ctx, Sought{"", "NL", "1234AB", "7 A"}, 1); err != nil || len(got) != 1 {
		t.Errorf("at most one: %v, %v", got, err)
	}
	if err := o.Erase(o.ctx, "L-2"); err != nil {
		t.Fatal(err)
	}
	if got, err := o.LinesOfSought(o.ctx, Sought{"", "NL", "1234AB", "7 A"}, 10); err != nil || !slices.Equal(got, []string{"L-1"}) {
		t.Errorf("after erasure: %v, %v", got, err)
	}
}
