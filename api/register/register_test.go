package register

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/keystore"
	"griffier/schema"
	"griffier/schema/schematest"
)

// office is a register on a real store and keystore, with a clock of its own.
type office struct {
	*Register
	ctx  context.Context
	conn driver.Conn
	keys *keystore.Store
	at   time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	database := schematest.Spared(t)
	ctx := t.Context()
	conn, err := schema.Open(ctx, schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	pseudonyms, err := schema.NewPseudonymiser(bytes.Repeat([]byte{1}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	o := &office{ctx: ctx, conn: conn, keys: keys, at: time.Now()}
	o.Register, err = New(Config{Conn: conn, Vault: keys, Pseudonyms: pseudonyms, BlindKey: bytes.Repeat([]byte{2}, 32),
		Now: func() time.Time { return o.at }})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var (
	start2020 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	start2024 = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	someone   = Person{Name: "Jan Zwanikken", InstallationAddress: PostalAddress{"Dorpsstraat", "7 A", "1234 AB", "Utrecht", "NL"},
		BillingAddress: PostalAddress{"Postbus", "1", "5678CD", "Breda", "NL"}}
)

func line(id, account string) Line {
	return Line{LineID: id, AccountID: account, TimeZone: "Europe/Amsterdam", BillingDay: 3, ContractStart: start2020, ContractEnd: schema.Forever}
}

func user(name string, from, to time.Time) Identifier {
	return Identifier{schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name}, from, to}
}

func (o *office) put(t *testing.T, l Line, ids []Identifier, p Person) {
	t.Helper()
	if err := o.PutLine(o.ctx, l, ids, p); err != nil {
		t.Fatal(err)
	}
}

func (o *office) count(t *testing.T, query string, args ...any) (n uint64) {
	t.Helper()
	if err := o.conn.QueryRow(o.ctx, query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNewRefusesAShortKey(t *testing.T) {
	if _, err := New(Config{BlindKey: make([]byte, 31)}); err == nil {
		t.Error("a blind index key of 31 bytes was taken")
	}
}

func TestPutLineIsVersioned(t *testing.T) {
	o := newOffice(t)
	ids := []Identifier{user("jan", start2020, schema.Forever)}
	o.put(t, line("L-1", "acc-1"), ids, someone)
	o.put(t, line("L-1", "acc-1"), ids, someone)
	got, err := o.LinesOfAccount(o.ctx, "acc-1")
	if err != nil || !reflect.DeepEqual(got, []Line{line("L-1", "acc-1")}) {
		t.Errorf("lines = %+v, %v; want the one, as it was put", got, err)
	}
	held, err := o.RefsOfLine(o.ctx, "L-1", start2024, start2024.Add(time.Hour))
	if err != nil || len(held) != 1 || held[0].Ref != o.pseudonyms.Ref(ids[0].Identifier) || !held[0].ValidTo.Equal(schema.Forever) {
		t.Errorf("refs = %+v, %v; want one, for ever", held, err)
	}

	// A change counts even if the clock was set back since.
	o.at = o.at.Add(-48 * time.Hour)
	moved := line("L-1", "acc-2")
	moved.BillingDay, moved.ContractEnd = 28, start2024
	ids[0].ValidTo = start2024
	other := someone
	other.Name = "Piet Paulusma"
	o.put(t, moved, ids, other)
	if got, err := o.Line(o.ctx, "L-1"); err != nil || !reflect.DeepEqual(got, moved) {
		t.Errorf("line = %+v, %v; want %+v", got, err, moved)
	}
	if got, err := o.LinesOfAccount(o.ctx, "acc-1"); err != nil || len(got) != 0 {
		t.Errorf("lines of the account it left = %+v, %v; want none", got, err)
	}
	if held, err := o.RefsOfLine(o.ctx, "L-1", start2024, schema.Forever); err != nil || len(held) != 0 {
		t.Errorf("refs after their end = %+v, %v; want none", held, err)
	}
	if p, err := o.Identity(o.ctx, "L-1", start2020); err != nil || p.Name != other.Name {
		t.Errorf("person = %+v, %v; want the new one", p, err)
	}
}

func TestForeignAccount(t *testing.T) {
	o := newOffice(t)
	o.put(t, line("L-1", "acc-1"), nil, someone)
	if _, err := o.LineOfAccount(o.ctx, "acc-1", "L-1"); err != nil {
		t.Errorf("own line: %v", err)
	}
	for _, c := range [][2]string{{"acc-2", "L-1"}, {"", "L-1"}, {"acc-1", "L-2"}, {"acc-1", ""}, {"acc-1' OR 1=1 --", "L-1"}} {
		if l, err := o.LineOfAccount(o.ctx, c[0], c[1]); !errors.Is(err, ErrUnknownLine) {
			t.Errorf("account %q, line %q: %+v, %v; want ErrUnknownLine", c[0], c[1], l, err)
		}
	}
	if got, err := o.LinesOfAccount(o.ctx, ""); err != nil || got != nil {
		t.Errorf("lines of no account = %+v, %v; want none", got, err)
	}
}

func TestLinesOfRefs(t *testing.T) {
	o := newOffice(t)
	// jan's identifier went from L-1 to L-2 in 2024; L-2 has a second one.
	o.put(t, line("L-1", "acc-1"), []Identifier{user("jan", start2020, start2024)}, someone)
	o.put(t, line("L-2", "acc-2"), []Identifier{user("jan", start2024, schema.Forever), user("extra", start2020, schema.Forever)}, someone)
	jan, extra := o.pseudonyms.Ref(user("jan", start2020, start2020).Identifier), o.pseudonyms.Ref(user("extra", start2020, start2020).Identifier)
	lines := func(start, end time.Time, refs ...schema.AccessRef) string {
		t.Helper()
		held, err := o.LinesOfRefs(o.ctx, refs, start, end)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, h := range held {
			out = append(out, h.LineID)
		}
		return strings.Join(out, " ")
	}
	before := start2024.Add(-time.Millisecond)
	for _, c := range []struct {
		what       string
		start, end time.Time
		refs       []schema.AccessRef
		want       string
	}{
		{"the last instant", before, before, []schema.AccessRef{jan}, "L-1"},
		{"the first instant", start2024, start2024, []schema.AccessRef{jan}, "L-2"},
		{"both sides", before, start2024, []schema.AccessRef{jan}, "L-1 L-2"},
		{"before anything", start2020.Add(-time.Hour), start2020.Add(-time.Millisecond), []schema.AccessRef{jan}, ""},
		{"two refs of one line", start2024, start2024, []schema.AccessRef{jan, extra}, "L-2 L-2"},
		{"unknown ref", start2024, start2024, []schema.AccessRef{{9}}, ""},
		{"no ref", start2024, start2024, nil, ""},
	} {
		if got := lines(c.start, c.end, c.refs...); got != c.want {
			t.Errorf("%s: lines %q, want %q", c.what, got, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	o := newOffice(t)
	l := line("L-1", "acc-1")
	l.ContractEnd = start2024
	o.put(t, l, nil, someone)
	for at, want := range map[time.Time]error{
		start2020.Add(-1): ErrUnknownLine, start2020: nil, start2024.Add(-1): nil, start2024: ErrUnknownLine,
	} {
		p, err := o.Identity(o.ctx, "L-1", at)
		if !errors.Is(err, want) || want == nil && p != someone {
			t.Errorf("at %v: %+v, %v; want %v", at, p, err, want)
		}
	}
	if _, err := o.Identity(o.ctx, "L-2", start2020); !errors.Is(err, ErrUnknownLine) {
		t.Errorf("unknown line: %v", err)
	}
	// A store that does not answer has erased nobody.
	ctx, cancel := context.WithCancel(o.ctx)
	cancel()
	if _, err := o.Identity(ctx, "L-1", start2020); err == nil || errors.Is(err, ErrErased) || errors.Is(err, ErrUnknownLine) {
		t.Errorf("store away: %v, want neither ErrErased nor ErrUnknownLine", err)
	}
	if err := o.keys.Shred(personKey("L-1")); err != nil {
		t.Fatal(err)
	}
	if p, err := o.Identity(o.ctx, "L-1", start2020); !errors.Is(err, ErrErased) || p != (Person{}) {
		t.Errorf("erased: %+v, %v; want ErrErased", p, err)
	}
	// Erasure holds: the line cannot be filled again.
	if err := o.PutLine(o.ctx, l, nil, someone); !errors.Is(err, ErrErased) {
		t.Errorf("put again: %v, want ErrErased", err)
	}
}

// TestCiphertextIsBoundToItsLine: another line's row does not open as this one's.
func TestCiphertextIsBoundToItsLine(t *testing.T) {
	o := newOffice(t)
	o.put(t, line("L-1", "a"), nil, someone)
	o.put(t, line("L-2", "b"), nil, Person{Name: "Other"})
	err := o.conn.Exec(o.ctx, `INSERT INTO register.person SELECT 'L-2', key_id, ciphertext, blind_index, version + 1000000000000 FROM register.person WHERE line_id = 'L-1'`)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := o.Identity(o.ctx, "L-2", start2024); err == nil {
		t.Errorf("the row of L-1 opened as that of L-2: %+v", p)
	}
}

func TestPersonsAreNeverInTheClear(t *testing.T) {
	o := newOffice(t)
	o.put(t, line("L-1", "acc-1"), []Identifier{user("zwanikken", start2020, schema.Forever)}, someone)
	for _, table := range []string{"register.person", "register.line", "register.line_access"} {
		// Whole postcodes: a version has four digits in a row by chance.
		for _, secret := range []string{"Zwanikken", "zwanikken", "Dorpsstraat", "1234 AB", "1234AB", "1234ab", "Utrecht", "Postbus", "5678CD", "5678cd"} {
			if n := o.count(t, `SELECT count() FROM `+table+` WHERE position(toString(tuple(*)), {secret:String}) > 0`, named("secret", secret)); n != 0 {
				t.Errorf("%q is in %s", secret, table)
			}
		}
		if n := o.count(t, `SELECT count() FROM `+table+` WHERE position(toString(tuple(*)), 'L-1') > 0`); n != 1 {
			t.Errorf("%s: the search finds %d rows of L-1, want one: it must be able to find something", table, n)
		}
	}
}

func TestBlindIndexIsExact(t *testing.T) {
	o := newOffice(t)
	index := func(p Person) string { return strings.Join(o.blindIndex(p), "") }
	with := func(f func(p *Person)) string {
		p := someone
		f(&p)
		return index(p)
	}
	base := index(someone)
	for what, same := range map[string]string{
		"case and spaces": with(func(p *Person) { p.Name = "  JAN   zwanikken" }),
		"postcode":        with(func(p *Person) { p.InstallationAddress.Postcode = "1234ab" }),
		"house number":    with(func(p *Person) { p.InstallationAddress.HouseNumber = "7-a" }),
		"full width":      with(func(p *Person) { p.InstallationAddress.HouseNumber = "７A" }),
		"billing address": with(func(p *Person) { p.BillingAddress = PostalAddress{} }),
	} {
		if same != base {
			t.Errorf("%s: another index, want the same", what)
		}
	}
	number := func(n string) string {
		return with(func(p *Person) { p.InstallationAddress.HouseNumber = n })
	}
	for what, pair := range map[string][2]string{
		"prefix of a name":    {base, with(func(p *Person) { p.Name = "Jan" })},
		"accent":              {base, with(func(p *Person) { p.Name = "Ján Zwanikken" })},
		"another house":       {number("11"), number("1-1")},
		"another addition":    {number("11-1"), number("1-11")},
		"without addition":    {base, number("7")},
		"country":             {base, with(func(p *Person) { p.InstallationAddress.Country = "BE" })},
		"postcode and number": {with(func(p *Person) { p.InstallationAddress.Postcode, p.InstallationAddress.HouseNumber = "1000", "12" }), with(func(p *Person) { p.InstallationAddress.Postcode, p.InstallationAddress.HouseNumber = "10001", "2" })},
	} {
		if pair[0] == pair[1] {
			t.Errorf("%s: the same index, want another", what)
		}
	}
	// The name's and the place's halves cannot be taken for each other.
	if string(o.blind("name", "x")) == string(o.blind("place", "x")) {
		t.Error("one value has one hash in both halves")
	}
	o.put(t, line("L-1", "acc-1"), nil, someone)
	if n := o.count(t, `SELECT count() FROM register.person WHERE has(blind_index, {h:String})`, named("h", "no such hash")); n != 0 {
		t.Errorf("a hash of nothing finds %d", n)
	}
	if n := o.count(t, `SELECT count() FROM register.person WHERE has(blind_index, unhex({h:String}))`,
		named("h", strings.ToUpper(hexOf(o.blind("name", "janzwanikken"))))); n != 1 {
		t.Errorf("the name's hash finds %d, want one", n)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out []byte
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

func TestRangesOf(t *testing.T) {
	o := newOffice(t)
	put := func(prefix, provider string, from, to time.Time) {
		t.Helper()
		if err := o.PutRange(o.ctx, Range{Prefix: netip.MustParsePrefix(prefix), Provider: provider, CollectorIDs: []string{"c1", "c2"}, ValidFrom: from, ValidTo: to}); err != nil {
			t.Fatal(err)
		}
	}
	put("198.51.100.0/24", "", start2020, schema.Forever)
	put("198.51.100.128/25", "Reseller", start2020, start2024)
	put("198.51.100.200/32", "Other", start2024, schema.Forever)
	put("2001:db8::/32", "", start2020, schema.Forever)
	put("2001:db8:ff00::/40", "Reseller", start2020, schema.Forever)
	put("203.0.113.0/24", "", start2020, schema.Forever)
	put("203.0.113.0/24", "", start2020, schema.Forever) // again: changes nothing
	find := func(address string, start, end time.Time) string {
		t.Helper()
		ranges, err := o.RangesOf(o.ctx, netip.MustParseAddr(address), start, end)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range ranges {
			out = append(out, r.Prefix.String()+"="+r.Provider)
			if !reflect.DeepEqual(r.CollectorIDs, []string{"c1", "c2"}) {
				t.Errorf("%s: collectors %v", r.Prefix, r.CollectorIDs)
			}
		}
		return strings.Join(out, " ")
	}
	before := start2024.Add(-time.Millisecond)
	for _, c := range []struct {
		address    string
		start, end time.Time
		want       string
	}{
		{"198.51.100.1", start2024, start2024, "198.51.100.0/24="},
		{"198.51.100.128", before, before, "198.51.100.128/25=Reseller 198.51.100.0/24="},
		{"198.51.100.128", start2024, start2024, "198.51.100.0/24="},
		{"198.51.100.200", before, start2024, "198.51.100.200/32=Other 198.51.100.128/25=Reseller 198.51.100.0/24="},
		{"198.51.100.255", before, before, "198.51.100.128/25=Reseller 198.51.100.0/24="},
		{"198.51.101.0", start2024, start2024, ""},
		{"198.51.99.255", start2024, start2024, ""},
		{"198.51.100.1", start2020.Add(-time.Hour), start2020.Add(-time.Millisecond), ""},
		{"::ffff:198.51.100.1", start2024, start2024, "198.51.100.0/24="},
		{"2001:db8:ff00::1", start2024, start2024, "2001:db8:ff00::/40=Reseller 2001:db8::/32="},
		{"2001:db9::", start2024, start2024, ""},
		{"203.0.113.9", start2024, start2024, "203.0.113.0/24="},
	} {
		if got := find(c.address, c.start, c.end); got != c.want {
			t.Errorf("%s at %v: %q, want %q", c.address, c.start, got, c.want)
		}
	}
	// All of IPv6 is not IPv4, and all of IPv4 not IPv6.
	put("::/0", "six", start2020, schema.Forever)
	put("0.0.0.0/0", "four", start2020, schema.Forever)
	if got := find("192.0.2.1", start2024, start2024); got != "0.0.0.0/0=four" {
		t.Errorf("an IPv4 address: %q", got)
	}
	if got := find("2001:db9::", start2024, start2024); got != "::/0=six" {
		t.Errorf("an IPv6 address: %q", got)
	}
	// A rewrite counts even if the clock was set back since.
	o.at = o.at.Add(-time.Hour)
	put("203.0.113.0/24", "Reseller", start2020, schema.Forever)
	if got := find("203.0.113.9", start2024, start2024); got != "203.0.113.0/24=Reseller 0.0.0.0/0=four" {
		t.Errorf("after a rewrite: %q", got)
	}
}
