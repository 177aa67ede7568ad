package execute_test

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

const hour = time.Hour

// Short names of categories.
const (
	identityOf = griffierv1.Category_CATEGORY_IDENTITY
	historyOf  = griffierv1.Category_CATEGORY_HISTORY
	timesOf    = griffierv1.Category_CATEGORY_TIME
	volumeOf   = griffierv1.Category_CATEGORY_VOLUME
)

// household adds two lines to the lab: Carol's, of which every kind of identifier is
// known, and Dave's in the same house, which gets Carol's RADIUS user two hours after
// noon; and what Carol's had and did.
func (l *lab) household() {
	l.T.Helper()
	ctx, begin := l.T.Context(), l.Noon.Add(-90*24*hour)
	circuit := schema.Identifier{Kind: schema.IdentCircuit, Value: hex.EncodeToString([]byte("ge-0/0/1:100.7"))}
	user := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "carol@isp.example"}
	put := func(id, name string, from, to time.Time, identifiers ...register.Identifier) {
		err := l.Register.PutLine(ctx, register.Line{LineID: id, AccountID: "account-" + id, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: from, ContractEnd: to},
			identifiers, register.Person{Name: name,
				InstallationAddress: register.PostalAddress{Street: "Kade", HouseNumber: "8-b", Postcode: "2345 cd", Town: "Waterstad", Country: "NL"},
				BillingAddress:      register.PostalAddress{Street: "Betaalweg", HouseNumber: "9", Postcode: "9999 ZZ", Town: "Elders", Country: "NL"}})
		if err != nil {
			l.T.Fatal(err)
		}
	}
	put("line-carol", "Carol  de Wit", begin, schema.Forever,
		register.Identifier{Identifier: circuit, ValidFrom: begin, ValidTo: schema.Forever},
		register.Identifier{Identifier: user, ValidFrom: begin, ValidTo: l.Noon.Add(2 * hour)},
		register.Identifier{Identifier: schema.Identifier{Kind: schema.IdentMAC, Value: "eth1/100.7/02:00:00:00:00:01"}, ValidFrom: begin, ValidTo: schema.Forever})
	put("line-dave", "Dave Bakker", begin, l.Noon.Add(3*hour), register.Identifier{Identifier: user, ValidFrom: l.Noon.Add(2 * hour), ValidTo: schema.Forever})

	ref, midnight := l.Pseudonyms.Ref(circuit), l.Noon.Add(-12*hour)
	slice := func(n byte, prefix string, whole, from, to time.Time, cause schema.EndCause, open bool) *schema.Assignment {
		return &schema.Assignment{AssignmentID: schema.ID{3, n}, SessionID: schema.ID{1, n}, AccessRef: ref, Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535,
			AssignmentStartedAt: whole, StartedAt: from, EndedAt: to, Open: open, Version: 1, EndCause: cause, Source: schema.SourceDHCPv4, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
	}
	session := func(n byte, whole, from, to time.Time, cause schema.EndCause, open bool) *schema.Session {
		return &schema.Session{SessionID: schema.ID{1, n}, AccessRef: ref, SessionStartedAt: whole, StartedAt: from, EndedAt: to, Open: open, Version: 1, EndCause: cause,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bng1", NASPort: "1/2", CollectorID: "edge1"}
	}
	moved := func(n byte, from time.Duration, direction schema.Direction, source schema.UsageSource, bytes uint64) *schema.Usage {
		at := l.Noon.Add(from)
		return &schema.Usage{AccessRef: ref, BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at.Add(time.Minute), Direction: direction, IPVersion: 4,
			Bytes: bytes, Packets: bytes / 100, CumulativeBytes: bytes, CumulativePackets: bytes / 100, CounterID: schema.ID{4, n}, CollectorID: "edge1", Source: source}
	}
	first, last := l.Noon.Add(-20*hour), l.Noon.Add(-2*hour)
	err := schema.Insert(ctx, l.Conn, "household", []schema.Record{
		slice(91, "192.0.2.40/32", first, first, midnight, schema.EndCut, false),
		slice(91, "192.0.2.40/32", first, midnight, last, schema.EndRelease, false),
		slice(92, "192.0.2.41/32", l.Noon.Add(-hour), l.Noon.Add(-hour), l.Noon.Add(hour), schema.EndNone, true),
		slice(93, "2001:db8:41::/56", l.Noon.Add(-hour), l.Noon.Add(-hour), l.Noon.Add(hour), schema.EndExpiry, false),
		session(94, first, first, midnight, schema.EndCut, false),
		session(94, first, midnight, last, schema.EndLostCarrier, false),
		session(95, l.Noon.Add(-hour), l.Noon.Add(-hour), l.Noon.Add(hour), schema.EndNone, true),
		moved(1, -hour, schema.Down, schema.UsageKernel, 1000), moved(2, -hour, schema.Down, schema.UsageKernel, 500), moved(3, -hour, schema.Up, schema.UsageKernel, 100),
		moved(4, -hour+5*time.Minute, schema.Down, schema.UsageKernel, 700),
		moved(5, -hour, schema.Down, schema.UsageRADIUS, 99999), // the same bytes, by a BNG
	})
	if err != nil {
		l.T.Fatal(err)
	}
}

// By every kind of target that names a line, the same line is found; and what it had
// and did in a window is disclosed to the column, cut to the window, and nothing else.
func TestListsOfALine(t *testing.T) {
	l := newLab(t)
	l.household()
	targets := []string{"line:line-carol", "circuit:ge-0/0/1:100.7", "circuit:0x" + hex.EncodeToString([]byte("ge-0/0/1:100.7")), "mac:02-00-00-00-00-01", "radius:carol@isp.example",
		"person:Carol de Wit;2345CD;8;B"}
	w := l.Everything(append(slices.Delete(slices.Clone(targets), 2, 3), "address:2345 CD;8;B", "line:line-nobody", "person:Carol de;2345CD;8;B")...)
	for _, target := range targets {
		if target == targets[2] {
			continue // another text of the same: the warrant names the other
		}
		done, rows, plain := l.MustAsk(w, reason.Match, historyOf, target, -5*hour, -3*hour)
		l.WantRows("HISTORY of "+target, rows, "line-carol 192.0.2.40/32 0 65535  -5h0m0s -3h0m0s both dhcpv4 observed")
		if len(done.Incomplete) != 0 || strings.Contains(plain, "Carol de  Wit") || strings.Contains(disclosuretest.Legible(plain), "Kade") {
			t.Errorf("%s: incomplete %v", target, done.Incomplete)
		}
		_, rows, _ = l.MustAsk(w, reason.Match, identityOf, target, 0, 0)
		l.WantRows("IDENTITY of "+target, rows, "0s line-carol Carol  de Wit Kade 8-b 2345 cd Waterstad NL")
		_, rows, _ = l.MustAsk(w, reason.Match, timesOf, target, -5*hour, 0)
		l.WantRows("TIME of "+target, rows, "line-carol -5h0m0s -2h0m0s before lost_carrier observed", "line-carol -1h0m0s 0s after  observed")
	}
	_, rows, plain := l.MustAsk(w, reason.Match, historyOf, "line:line-carol", -5*hour, hour)
	l.WantRows("HISTORY", rows, "line-carol 192.0.2.40/32 0 65535  -5h0m0s -2h0m0s before dhcpv4 observed",
		"line-carol 192.0.2.41/32 0 65535  -1h0m0s 1h0m0s after dhcpv4 observed", "line-carol 2001:db8:41::/56 0 65535  -1h0m0s 1h0m0s  dhcpv4 observed")
	for _, secret := range []string{l.Noon.Add(-20 * hour).Format(time.RFC3339), l.Noon.Add(6 * hour).Format(time.RFC3339), "Wit", "Betaalweg", "bng1"} {
		if strings.Contains(disclosuretest.Legible(plain), secret) {
			t.Errorf("the package says %q", secret)
		}
	}
	_, rows, _ = l.MustAsk(w, reason.Match, volumeOf, "line:line-carol", -hour, 0)
	l.WantRows("VOLUME", rows, "line-carol -1h0m0s -55m0s down 1500 15 kernel", "line-carol -1h0m0s -55m0s up 100 1 kernel", "line-carol -55m0s -50m0s down 700 7 kernel")

	// What is open is told as far as it was seen, and that it was open.
	done, rows, _ := l.MustAsk(w, reason.Match, timesOf, "line:line-carol", -hour, 8*hour)
	l.WantRows("TIME of what is open", rows, "line-carol -1h0m0s 6h0m0s  open observed")
	if !slices.Equal(done.Incomplete, []string{"COVERAGE_GAP"}) {
		t.Errorf("incomplete %v", done.Incomplete)
	}
	// An identifier that moved: to one line before, to the other after, and to both in a
	// window that spans it.
	_, rows, _ = l.MustAsk(w, reason.Match, identityOf, "radius:carol@isp.example", 2*hour+30*time.Minute, 2*hour+30*time.Minute)
	l.WantRows("IDENTITY after the move", rows, "2h30m0s line-dave Dave Bakker Kade 8-b 2345 cd Waterstad NL")
	l.MustAsk(w, reason.AmbiguousBoundary, identityOf, "radius:carol@isp.example", 2*hour+time.Second, 2*hour+time.Second)
	task, err := l.Ask(w, historyOf, "radius:carol@isp.example", 1*hour, 3*hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Execute(task)
	l.Want(err, reason.MaxHits)
	// Nobody: not in the register, not by a part of a name, not after the contract.
	l.MustAsk(w, reason.NoMatch, identityOf, "line:line-nobody", 0, 0)
	l.MustAsk(w, reason.NoMatch, identityOf, "person:Carol de;2345CD;8;B", 0, 0)
	_, rows, _ = l.MustAsk(w, reason.Match, identityOf, "address:2345CD;8;B", 4*hour, 4*hour)
	l.WantRows("IDENTITY after a contract", rows, "4h0m0s line-carol Carol  de Wit Kade 8-b 2345 cd Waterstad NL")
}

// More lines or records than a task allows, and nothing is sent: the refusal has a band
// and nothing of who, and the ledger no result.
func TestMaxHits(t *testing.T) {
	l := newLab(t)
	l.household()
	w := l.Everything("address:2345CD;8;B", "line:line-carol", "address:1234AB;1")
	subjects := func(n uint32) func(*griffierv1.CreateTaskRequest) {
		return func(r *griffierv1.CreateTaskRequest) { r.MaxSubjects = n }
	}
	for name, test := range map[string]struct {
		category griffierv1.Category
		target   string
		to       time.Duration
		change   func(*griffierv1.CreateTaskRequest)
		says     string
	}{
		"a house of two lines":    {identityOf, "address:2345CD;8;B", 0, subjects(0), "There are 2-10 lines; the task allows 1."},
		"a house of three lines":  {identityOf, "address:1234AB;1", 0, subjects(2), "There are 2-10 lines; the task allows 2."},
		"their addresses":         {historyOf, "address:2345CD;8;B", hour, subjects(0), "There are 2-10 lines; the task allows 1."},
		"one record, and two are": {historyOf, "line:line-carol", hour, func(r *griffierv1.CreateTaskRequest) { r.MaxRecords = 1 }, "There are 2-10 records; the task allows 1."},
	} {
		task, err := l.Ask(w, test.category, test.target, 0, test.to, test.change)
		if err != nil {
			t.Fatal(err)
		}
		// Asked again as it stands it is refused again, in the same words, and not asked.
		for range 3 {
			_, err = l.Execute(task)
			l.Want(err, reason.MaxHits)
			if e := reason.From(err); e == nil || e.Detail != test.says {
				t.Errorf("%s: %v", name, e)
			}
		}
		_, err = l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: task.Generation, ValidateOnly: true})
		l.Want(err, reason.MaxHits)
		if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "refuse"}) {
			t.Errorf("%s: entries %v", name, got)
		}
		if tk, w, _ := l.State.Task(task.TaskId); tk.State(&w, l.Now()) != warrant.TaskRejected || tk.Refusal != reason.MaxHits {
			t.Errorf("%s: the task is %s, %s", name, tk.State(&w, l.Now()), tk.Refusal)
		}
		if files := l.Shelved(); slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, task.TaskId) }) {
			t.Errorf("%s: files %v", name, files)
		}
	}
	_, rows, _ := l.MustAsk(w, reason.Match, identityOf, "address:2345CD;8;B", 0, 0, subjects(2))
	l.WantRows("both", rows, "0s line-carol Carol  de Wit Kade 8-b 2345 cd Waterstad NL", "0s line-dave Dave Bakker Kade 8-b 2345 cd Waterstad NL")
}
