package disclosure_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/etsi"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/epoc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Seed: "order valid from tomorrow". It can be prepared and approved; it executes
// nothing before its day, to the second.
func TestSeedValidFromTomorrow(t *testing.T) {
	l := newLab(t)
	content := l.Content(48 * time.Hour)
	from := l.Now().Add(20 * time.Hour) // within the approvals' age
	content.ValidFrom = from.Format(time.RFC3339Nano)
	task := l.Task(l.Approve(content), "192.0.2.17", l.Noon)
	for _, before := range []time.Duration{20 * time.Hour, time.Minute} {
		l.Skew.Store(int64(time.Until(from) - before))
		_, err := l.Execute(task)
		l.Want(err, reason.WarrantIncomplete)
		if err != nil && !strings.Contains(err.Error(), "valid_from") && len(reason.From(err).Violations) == 0 {
			t.Errorf("the refusal does not say why: %v", err)
		}
	}
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	l.Skew.Store(int64(time.Until(from)))
	l.MustExecute(task, reason.Match)
}

// Seed: "subscriber deceased/contract moved mid-window". A line is its contract's:
// whoever had it before or after is another answer, and the moment between is none.
func TestSeedContractMoves(t *testing.T) {
	l := newLab(t)
	begin := l.Noon.Add(-90 * 24 * time.Hour)
	identifier := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "moved@isp.example"}
	line := func(id, name string, from, to time.Time) {
		t.Helper()
		err := l.Register.PutLine(t.Context(), register.Line{LineID: id, AccountID: id, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: from, ContractEnd: to},
			[]register.Identifier{{Identifier: identifier, ValidFrom: from, ValidTo: to}},
			register.Person{Name: name, InstallationAddress: register.PostalAddress{Street: "Kade", HouseNumber: "3", Postcode: "2345 BC", Town: "Stad", Country: "NL"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	line("moved-old", "Carla Eerder", begin, l.Noon)
	line("moved-new", "Dirk Later", l.Noon, l.Noon.Add(time.Hour)) // and deceased an hour after: nobody's from then on
	if err := schema.Insert(t.Context(), l.Conn, "moved", []schema.Record{l.Assigned(schema.ID{16, 1}, "moved", "192.0.2.60", -3*time.Hour, 3*time.Hour)}); err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.60"}
	w := l.Approve(content)
	for _, test := range []struct {
		at        time.Duration
		want      reason.Reason
		says, not string
	}{
		{-time.Minute, reason.Match, "Carla Eerder", "Dirk Later"},
		{time.Minute, reason.Match, "Dirk Later", "Carla Eerder"},
		{0, reason.AmbiguousBoundary, "", "moved-"},
		{time.Hour + time.Minute, reason.DataConflict, "", "Dirk Later"},
		{time.Hour, reason.DataConflict, "", "Dirk Later"},
	} {
		_, plain := l.MustExecute(l.Task(w, "192.0.2.60", l.Noon.Add(test.at)), test.want)
		if !strings.Contains(plain, test.says) || strings.Contains(plain, test.not) {
			t.Errorf("at %v: the package does not say %q, or says %q", test.at, test.says, test.not)
		}
	}
}

// Seed: "installation vs billing address (IPCO 2019-8)". Where there is no
// installation address the answer has none: the bill's is never put in its place.
func TestSeedBillingAddress(t *testing.T) {
	l := newLab(t)
	begin := l.Noon.Add(-90 * 24 * time.Hour)
	err := l.Register.PutLine(t.Context(), register.Line{LineID: "line-bills", AccountID: "bills", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: begin, ContractEnd: schema.Forever},
		[]register.Identifier{{Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "bills@isp.example"}, ValidFrom: begin, ValidTo: schema.Forever}},
		register.Person{Name: "Els Zonderadres", BillingAddress: register.PostalAddress{Street: "Betaalweg", HouseNumber: "9", Postcode: "9999 ZZ", Town: "Elders", Country: "NL"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Insert(t.Context(), l.Conn, "bills", []schema.Record{l.Assigned(schema.ID{17, 1}, "bills", "192.0.2.61", -time.Hour, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.61"}
	_, plain := l.MustExecute(l.Task(l.Approve(content), "192.0.2.61", l.Noon), reason.Match)
	if !strings.Contains(plain, "Els Zonderadres") {
		t.Error("the package does not name the subscriber")
	}
	for _, secret := range []string{"Betaalweg", "9999 ZZ", "Elders"} {
		if strings.Contains(plain, secret) {
			t.Errorf("the package says %q of the bill", secret)
		}
	}
}

// Seed: "authority key swapped by e-mail". A key counts while the registry has it
// confirmed for that authority: at the intent, at the result and at the release.
// Another key is another content, which is approved anew.
func TestSeedAuthorityKeySwapped(t *testing.T) {
	l := newLab(t)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	good, swapped := warranttest.Registry(l.Identity.Recipient().String()), warranttest.Registry(other.Recipient().String())
	var gone atomic.Bool
	l.Rules.Authorities = func(id string) (warrant.AuthorityView, bool) {
		if gone.Load() {
			return swapped(id)
		}
		return good(id)
	}
	w := l.Approved(time.Hour)
	gone.Store(true)
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err = l.Execute(task)
	l.Want(err, reason.AuthorityNotEntitled)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	// Swapped while the query runs: nothing is released, and nothing stays.
	gone.Store(false)
	l.Traffic.During = func(context.Context) { gone.Store(true) }
	_, err = l.Execute(task)
	l.Traffic.During = nil
	l.Want(err, reason.AuthorityNotEntitled)
	kinds := l.Kinds(task.TaskId)
	if files := l.OnShelf(task.TaskId); len(files) != 0 || count(kinds, "release") != 0 {
		t.Errorf("left behind %v, entries %v", files, kinds)
	}
	// Nor does an edit to the other key carry the approvals over.
	content := proto.Clone(w.Content).(*griffierv1.WarrantContent)
	content.Recipient = other.Recipient().String()
	edited, err := l.Warrants.EditWarrant(l.Officer(), &griffierv1.EditWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
		ExpectedGeneration: w.Generation, Content: content})
	if err != nil || len(edited.Approvals) != 0 {
		t.Fatalf("edited: %v, %v", edited, reason.From(err))
	}
	_, err = l.Execute(task)
	if err == nil {
		t.Error("executed under approvals of another key")
	}
	// Put back, the warrant as it was approved is what it was; here another.
	gone.Store(false)
	l.MustExecute(l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon), reason.Match)
}

// Seed: "500 targets". More than a warrant may name are refused; more than ten want
// a third person, the privacy controller, and nothing runs before.
func TestSeedManyTargets(t *testing.T) {
	l := newLab(t)
	content := l.Content(time.Hour)
	content.Targets = nil
	for i := range 500 {
		content.Targets = append(content.Targets, fmt.Sprintf("2001:db8:%x::1", i))
	}
	_, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
	l.Want(err, reason.TargetNotSpecific)
	content.Targets = append(content.Targets[:warrant.DefaultThirdApproverAbove], "192.0.2.17")
	w := l.Approve(content) // by two
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err = l.Execute(task)
	l.Want(err, reason.WarrantIncomplete)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	_, err = l.Warrants.ApproveWarrant(l.As("c0nt", griffierv1.Role_ROLE_PRIVACY_CONTROLLER), &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
		ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
	if err != nil {
		t.Fatal(err)
	}
	l.MustExecute(task, reason.Match)
}

// Seed: "XML external entity and billion-laughs in an inbound HI1 message". Neither
// is expanded, read or waited for; both are refused in no time.
func TestSeedXMLBombs(t *testing.T) {
	laughs := `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">`
	for c := 'b'; c <= 'k'; c++ {
		laughs += fmt.Sprintf(`<!ENTITY %c "%s">`, c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	for name, text := range map[string]string{
		"external entity":  `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r><a>&x;</a></r>`,
		"external DTD":     `<?xml version="1.0"?><!DOCTYPE r SYSTEM "http://192.0.2.1/r.dtd"><r/>`,
		"parameter entity": `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/hostname">%p;]><r/>`,
		"billion laughs":   laughs + `]><l>&k;</l>`,
		"deep":             strings.Repeat("<a>", 100_000),
		"long":             "<a>" + strings.Repeat("x", 8<<20) + "</a>",
	} {
		began := time.Now()
		_, err := epoc.Parse([]byte(text))
		if err == nil {
			t.Errorf("%s: taken for a form", name)
		}
		if _, err := etsi.Parse([]byte(text)); err == nil {
			t.Errorf("%s: taken for an answer", name)
		}
		if took := time.Since(began); took > time.Minute { // on a busy machine
			t.Errorf("%s: refused after %v", name, took)
		}
	}
}

// Seed: "reseller line". Which provider has a range, moment by moment; what it did
// with its addresses is not ours to know, even where a collector saw it.
func TestSeedReseller(t *testing.T) {
	l := newLab(t)
	begin := l.Noon.Add(-90 * 24 * time.Hour)
	for _, r := range []register.Range{
		{Prefix: netip.MustParsePrefix("198.18.0.0/24"), Provider: "Example Telecom", ValidFrom: begin, ValidTo: l.Noon},
		{Prefix: netip.MustParsePrefix("198.18.0.0/24"), ValidFrom: l.Noon, ValidTo: schema.Forever},
	} {
		r.CollectorIDs = []string{"edge1"}
		if err := l.Register.PutRange(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := schema.Insert(t.Context(), l.Conn, "resold", []schema.Record{l.Assigned(schema.ID{18, 1}, "alice", "198.18.0.9", -time.Hour, time.Hour)}); err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"198.18.0.9"}
	w := l.Approve(content)
	for _, test := range []struct {
		at   time.Duration
		want reason.Reason
		says string
	}{
		{-time.Minute, reason.OtherProvider, "Example Telecom"},
		{0, reason.AmbiguousBoundary, ""},
		{time.Minute, reason.Match, "line-alice"},
	} {
		_, plain := l.MustExecute(l.Task(w, "198.18.0.9", l.Noon.Add(test.at)), test.want)
		if !strings.Contains(plain, test.says) {
			t.Errorf("at %v: the package does not say %q", test.at, test.says)
		}
		if found := reveals(plain); test.want != reason.Match && found != nil {
			t.Errorf("at %v: %s says %v", test.at, test.want, found)
		}
	}
}

// Seed: "int overflow in octets (2^63)". Such a counter is kept whole when its line is
// preserved and told whole as a volume; a sum that no counter could have is an
// incident, and never a small number.
func TestSeedOctets(t *testing.T) {
	l := newLab(t)
	begin := l.Noon.Add(-5 * time.Minute)
	usage := func(n byte, begin time.Time) *schema.Usage {
		return &schema.Usage{AccessRef: l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "alice@isp.example"}),
			BucketStartedAt: begin, EndedAt: begin.Add(schema.BucketLength), SampledAt: begin.Add(time.Minute), Direction: schema.Down, IPVersion: 4,
			Bytes: 1 << 63, Packets: 1 << 62, CumulativeBytes: 1<<64 - 1, CumulativePackets: 1 << 63, CounterID: schema.ID{4, n}, CollectorID: "edge1", Source: schema.UsageKernel}
	}
	if err := schema.Insert(t.Context(), l.Conn, "octets", []schema.Record{usage(1, begin), usage(1, l.Noon), usage(2, l.Noon)}); err != nil {
		t.Fatal(err)
	}
	done, _ := l.MustExecute(l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon.Add(-10*time.Minute), l.Noon.Add(-time.Minute)), reason.Preserved)
	o, err := l.Keeper.Open(done.HoldId, func(keep.Head) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Usage) != 1 || o.Usage[0].Bytes != 1<<63 || o.Usage[0].CumulativeBytes != 1<<64-1 {
		t.Errorf("usage %s", disclosuretest.JSON(o.Usage))
	}
	w := l.Everything("line:line-alice")
	_, rows, _ := l.MustAsk(w, reason.Match, griffierv1.Category_CATEGORY_VOLUME, "line:line-alice", -5*time.Minute, 0)
	l.WantRows("2^63 octets", rows, "line-alice -5m0s 0s down 9223372036854775808 4611686018427387904 kernel")
	_, rows, _ = l.MustAsk(w, reason.DataConflict, griffierv1.Category_CATEGORY_VOLUME, "line:line-alice", 0, 5*time.Minute)
	l.WantRows("2^64 octets", rows)
}
