package oversightrpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/oversightrpc"
	"griffier/api/oversight/oversighttest"
	"griffier/api/oversight/watch"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// office is the service over a real ledger and key store.
type office struct {
	oversighttest.Path
	*oversightrpc.Service
	watch  *watch.Watch
	state  *oversight.State
	skew   time.Duration
	health []oversightrpc.Health
	leapt  error // what the guard of the clock says
}

// newOffice starts one, with a register when the test has one made from its keys.
func newOffice(t *testing.T, registers ...func(*keystore.Store) *register.Register) *office {
	o := &office{state: oversight.NewState()}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(dir, "master")))
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	must(err)
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "isp.example/griffier")
	must(err)
	now := func() time.Time { return time.Now().Add(o.skew) }
	legal, holds := warrant.NewState(), hold.NewState()
	book, err := ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: keys,
		Folds: []ledger.Fold{o.state, legal, holds}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second, Now: now})
	must(err)
	t.Cleanup(func() { book.Close() })
	profile, err := warrant.LoadProfile("nl")
	must(err)
	rules, err := warrant.NewRules(warrant.Rules{Law: warrant.Always(profile), Authorities: warranttest.Registry(), DuplicateKey: make([]byte, 32), DoubleEntry: true})
	must(err)
	var staff *register.Register
	for _, of := range registers {
		staff = of(keys)
	}
	o.Path = oversighttest.Path{T: t, Book: book, Keys: keys, Legal: legal, Now: now}
	o.watch = watch.New(watch.Config{Book: book, Keys: keys, State: o.state, Staff: staff, Now: now, Log: slog.New(slog.DiscardHandler)}, nil)
	o.Service = oversightrpc.NewService(oversightrpc.Config{Book: book, Keys: keys, State: o.state, Warrants: legal, Holds: holds, Rules: rules, Staff: staff,
		Pseudonym: auth.ActorKey("a key of this test alone").Actor, Zone: time.UTC, Now: now, Leap: func(time.Time) error { return o.leapt }, Health: func() []oversightrpc.Health { return o.health }})
	return o
}

func as(actor string, roles ...griffierv1.Role) context.Context {
	return auth.NewContext(context.Background(), auth.Caller{Subject: "subject-of-" + actor, Actor: actor, Roles: roles})
}

var (
	officer    = as("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER)
	approver   = as("a44r", griffierv1.Role_ROLE_LEGAL_APPROVER)
	overseer   = as("dd00", griffierv1.Role_ROLE_OVERSEER)
	controller = as("9c00", griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
)

func want(t *testing.T, what string, err error, r reason.Reason) {
	t.Helper()
	if reason.Of(err) != r || (r == "") != (err == nil) {
		t.Errorf("%s: %v, want %q", what, err, r)
	}
}

func id(n int) string { return fmt.Sprintf("%032x", n) }

// disclose has a warrant of its own answered about a line.
func (o *office) disclose(n int, authority, line string) {
	o.T.Helper()
	w := o.Warrant(id(n), authority, warrant.Attribution)
	o.Task(w.ID, id(1000+n), "0ff1", warrant.Attribution)
	t := o.Begin(w.ID, id(1000+n))
	if err := o.watch.Resolved(o.T.Context(), t, w, []string{line}); err != nil {
		o.T.Fatal(err)
	}
	o.Release(w.ID, t.ID, reason.Match)
}

// year is that of the office, in which it stays for as long as a test takes.
func (o *office) year() int32 {
	if o.Now().UTC().Year() != o.Now().Add(10*time.Minute).UTC().Year() {
		o.skew = 10 * time.Minute
	}
	return int32(o.Now().UTC().Year())
}

func TestOverview(t *testing.T) {
	o := newOffice(t)
	for n := range 3 {
		o.disclose(n, "NL-OM", "L-secret-line")
	}
	w := o.Warrant(id(50), "NL-OM", warrant.Attribution)
	o.Task(w.ID, id(51), "0ff1", warrant.Attribution)
	o.health = []oversightrpc.Health{{Part: "witness", OK: true, Detail: "1 of 1"}}
	m, err := o.GetOversight(overseer, &griffierv1.GetOversightRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.GetAlarms()) != 1 || m.GetAlarms()[0].GetKind() != griffierv1.OversightAlarmKind_OVERSIGHT_ALARM_KIND_LINKAGE || m.GetAlarms()[0].GetCount() != 3 ||
		len(m.GetAlarms()[0].GetWarrantIds()) != 3 {
		t.Errorf("alarms = %v, want one of three disclosures under three warrants", m.GetAlarms())
	}
	if m.GetUnconfirmed() != 1 || len(m.GetWarrants()) != 4 || len(m.GetHealth()) != 1 || m.GetLedgerEntries() == 0 || m.GetLimits().GetTasksPerOfficerDay() != 100 {
		t.Errorf("overview = %v", m)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"L-secret-line", "192.0.2.17"} {
		if strings.Contains(string(text), never) {
			t.Errorf("the overseer is shown %s", never)
		}
	}
}

func TestNonExecutionAndCosts(t *testing.T) {
	o := newOffice(t)
	w := o.Warrant(id(1), "NL-OM", warrant.Attribution)
	kept := o.Warrant(id(2), "NL-OM", warrant.Preservation)
	req := &griffierv1.RecordNonExecutionRequest{RequestId: "request-1", WarrantId: w.ID, Reason: griffierv1.NonExecutionReason_NON_EXECUTION_REASON_INCOMPLETE, Explanation: "No period."}
	first, err := o.RecordNonExecution(officer, req)
	want(t, "record", err, "")
	again, err := o.RecordNonExecution(officer, req)
	want(t, "the same again", err, "")
	if !proto.Equal(first, again) || first.GetPreservation() != griffierv1.Preservation_PRESERVATION_NO_BASIS {
		t.Errorf("recorded %v, again %v", first, again)
	}
	req.WarrantId = kept.ID
	_, err = o.RecordNonExecution(officer, req)
	want(t, "the id for another warrant", err, reason.InvalidRequest)
	req.RequestId = "request-2"
	possible, err := o.RecordNonExecution(officer, req)
	want(t, "another", err, "")
	if possible.GetPreservation() != griffierv1.Preservation_PRESERVATION_POSSIBLE {
		t.Errorf("under a warrant for preservation: %v", possible)
	}
	_, err = o.RecordNonExecution(approver, &griffierv1.RecordNonExecutionRequest{RequestId: "request-3", WarrantId: w.ID, Reason: 1})
	want(t, "an approver", err, reason.PermissionDenied)
	list, err := o.ListNonExecutions(overseer, &griffierv1.ListNonExecutionsRequest{WarrantId: w.ID})
	if err != nil || len(list.GetNonExecutions()) != 1 {
		t.Errorf("list = %v, %v", list, err)
	}

	cost, err := o.RecordCost(officer, &griffierv1.RecordCostRequest{RequestId: "request-4", WarrantId: w.ID, Minutes: 25, Tariff: "NL-A1"})
	want(t, "cost", err, "")
	if cost.GetReference() != "PV/"+w.ID {
		t.Errorf("the officer claims back under %q", cost.GetReference())
	}
	_, err = o.RecordCost(officer, &griffierv1.RecordCostRequest{RequestId: "request-4", WarrantId: w.ID, Minutes: 26, Tariff: "NL-A1"})
	want(t, "the id for other minutes", err, reason.InvalidRequest)
	costs, err := o.ListCosts(overseer, &griffierv1.ListCostsRequest{Start: timestamppb.New(time.Now().Add(-time.Hour)), End: timestamppb.New(time.Now().Add(time.Hour))})
	if err != nil || len(costs.GetCosts()) != 1 || costs.GetCosts()[0].GetAuthority() != "NL-OM" || costs.GetCosts()[0].GetReference() != "" {
		t.Errorf("costs = %v, %v", costs, err)
	}
	_, err = o.ListCosts(overseer, &griffierv1.ListCostsRequest{})
	want(t, "no period", err, reason.InvalidRequest)
}

func TestErrorReports(t *testing.T) {
	o := newOffice(t)
	year := o.year()
	w := o.Warrant(id(1), "NL-OM", warrant.Attribution)
	report := &griffierv1.ReportErrorRequest{RequestId: "request-1", Kind: griffierv1.ErrorKind_ERROR_KIND_WRONG_TIME, Severity: griffierv1.ErrorSeverity_ERROR_SEVERITY_NEAR_MISS,
		Cause: griffierv1.ErrorCause_ERROR_CAUSE_TIME_ZONE, WarrantId: w.ID, What: "Summer time for winter time."}
	m, err := o.ReportError(officer, report)
	want(t, "an officer", err, "")
	if m.GetWhat() != report.What || m.GetRole() != "legal_officer" || m.GetKind() != report.Kind || m.GetCause() != report.Cause || m.GetSeverity() != report.Severity {
		t.Errorf("reported %v", m)
	}
	for i, by := range []context.Context{approver, overseer} {
		r := proto.Clone(report).(*griffierv1.ReportErrorRequest)
		r.RequestId = fmt.Sprintf("request-2%d", i)
		_, err = o.ReportError(by, r)
		want(t, "anyone in a legal role, and the overseer", err, "")
	}
	r := proto.Clone(report).(*griffierv1.ReportErrorRequest)
	r.RequestId, r.WarrantId, r.Severity, r.Consequences = "request-30", "", griffierv1.ErrorSeverity_ERROR_SEVERITY_SERIOUS, "An arrest."
	_, err = o.ReportError(controller, r)
	want(t, "the privacy controller", err, "")
	r.RequestId, r.WarrantId = "request-31", w.ID
	_, err = o.ReportError(controller, r)
	want(t, "about a warrant that the privacy controller does not see", err, reason.NotFound)
	r = proto.Clone(report).(*griffierv1.ReportErrorRequest)
	o.Task(w.ID, id(10), "0ff1", warrant.Attribution)
	r.RequestId, r.TaskId, r.RecallIndex = "request-40", id(10), 1
	_, err = o.ReportError(officer, r)
	want(t, "a recall that is none", err, reason.InvalidRequest)
	list, err := o.ListErrors(overseer, &griffierv1.ListErrorsRequest{Year: year})
	if err != nil || len(list.GetErrors()) != 4 || len(list.GetSummary()) != 2 || list.GetSummary()[0].GetSeverity() != griffierv1.ErrorSeverity_ERROR_SEVERITY_SERIOUS || list.GetSummary()[1].GetCount() != 3 {
		t.Errorf("list = %v, %v", list, err)
	}
	_, err = o.ListErrors(overseer, &griffierv1.ListErrorsRequest{})
	want(t, "no year", err, reason.InvalidRequest)
}

func TestStatistics(t *testing.T) {
	o := newOffice(t)
	year := o.year()
	for n := range 6 {
		o.disclose(n, "NL-OM", fmt.Sprintf("L-%d", n))
	}
	o.disclose(6, "BE-OM", "L-6")
	full, err := o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year})
	if err != nil || len(full.GetCells()) != 2 || full.GetTotal().GetRequests() != 7 || full.GetTotal().GetSubjects() != 7 || full.GetCells()[0].GetAge() != oversight.AgeBands[0] {
		t.Fatalf("full = %v, %v", full, err)
	}
	_, err = o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year, Public: true})
	want(t, "a year that runs, in public", err, reason.InvalidRequest)
	_, err = o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year + 1})
	want(t, "a year to come", err, reason.InvalidRequest)
	o.skew = 366 * 24 * time.Hour
	// A clock that leapt into the next year would publish half of this one, for ever.
	o.leapt = reason.New(reason.ClockUntrusted, "")
	_, err = o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year, Public: true})
	want(t, "by a clock that leapt", err, reason.ClockUntrusted)
	if _, ok := o.state.Published(int(year)); ok {
		t.Error("a clock that leapt published the year")
	}
	o.leapt = nil
	public, err := o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year, Public: true})
	if err != nil || len(public.GetTables()) != 4 || public.GetTotal().GetRequests() != 7 || len(public.GetCells()) != 0 {
		t.Fatalf("public = %v, %v", public, err)
	}
	for _, table := range public.GetTables() {
		if len(table.GetRows()) != 1 { // seven, of which one alone would be one
			t.Errorf("%s is in %d rows", table.GetBy(), len(table.GetRows()))
		}
	}
	// The dossier goes, and what it was about with it; the count stays.
	if err := o.Keys.Shred(warrant.KeyID(id(6))); err != nil {
		t.Fatal(err)
	}
	full, err = o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year})
	if err != nil || full.GetTotal().GetRequests() != 7 || full.GetCells()[0].GetAge() != oversight.Unknown {
		t.Errorf("after a dossier was destroyed: %v, %v", full, err)
	}
	// What was published once is not published otherwise: of two exports, with something
	// recorded in between, the difference is nothing.
	if _, err := o.RecordNonExecution(officer, &griffierv1.RecordNonExecutionRequest{RequestId: "late-0001", WarrantId: id(5),
		Reason: griffierv1.NonExecutionReason_NON_EXECUTION_REASON_CONFLICT_OF_LAW}); err != nil {
		t.Fatal(err)
	}
	o.disclose(9, "NL-OM-Late", "L-late")
	again, err := o.GetDisclosureStatistics(overseer, &griffierv1.GetDisclosureStatisticsRequest{Year: year, Public: true})
	if err != nil || !proto.Equal(again, public) {
		t.Errorf("published again: %v, %v; want %v", again, err, public)
	}
}

// A register on a real store, with one line.
func withLine(t *testing.T, lineID string) func(*keystore.Store) *register.Register {
	return func(keys *keystore.Store) *register.Register {
		conn, err := schema.Open(t.Context(), schema.Config{Socket: enginetest.Start(t).Socket, Settings: map[string]any{"fsync_metadata": 0}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := schema.Migrate(t.Context(), conn, nil); err != nil {
			t.Fatal(err)
		}
		ids, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
		if err != nil {
			t.Fatal(err)
		}
		r, err := register.New(register.Config{Conn: conn, Vault: keys, Pseudonyms: ids, BlindKey: bytes.Repeat([]byte{8}, 32), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		name := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "erin@isp.example"}
		begin := time.Now().Add(-time.Hour)
		if err := r.PutLine(t.Context(), register.Line{LineID: lineID, AccountID: "A-1", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: begin, ContractEnd: schema.Forever},
			[]register.Identifier{{Identifier: name, ValidFrom: begin, ValidTo: schema.Forever}}, register.Person{Name: "Erin"}); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestSecrecyAndStaff(t *testing.T) {
	o := newOffice(t, withLine(t, "Line-1"))
	o.disclose(1, "NL-OM", "Line-1")
	o.Warrant(id(2), "NL-OM", warrant.Attribution) // nothing disclosed
	list := func(ended, due bool) {
		t.Helper()
		m, err := o.ListSecrecy(officer, &griffierv1.ListSecrecyRequest{})
		if err != nil || len(m.GetWarrants()) != 1 || m.GetWarrants()[0].GetEnded() != ended || m.GetWarrants()[0].GetDue() != due {
			t.Errorf("secrecy = %v, %v; want ended %v, due %v", m, err, ended, due)
		}
	}
	list(false, false)
	o.skew = 91 * 24 * time.Hour
	list(false, true)
	m, err := o.GetOversight(overseer, &griffierv1.GetOversightRequest{})
	if err != nil || m.GetSecrecyDue() != 1 {
		t.Errorf("the overseer sees %d due, %v", m.GetSecrecyDue(), err)
	}
	_, err = o.ConfirmSecrecy(officer, &griffierv1.ConfirmSecrecyRequest{RequestId: "request-1", WarrantId: id(1), Grounds: "Telephone, 3 December."})
	want(t, "kept", err, "")
	list(false, false)
	_, err = o.ConfirmSecrecy(officer, &griffierv1.ConfirmSecrecyRequest{RequestId: "request-2", WarrantId: id(1), Ended: true, Grounds: "Letter of the prosecutor."})
	want(t, "ended", err, "")
	list(true, false)
	_, err = o.ConfirmSecrecy(officer, &griffierv1.ConfirmSecrecyRequest{RequestId: "request-3", WarrantId: id(1), Grounds: "Back."})
	want(t, "kept after it has ended", err, reason.WarrantTerminal)
	_, err = o.ConfirmSecrecy(approver, &griffierv1.ConfirmSecrecyRequest{RequestId: "request-4", WarrantId: id(2), Ended: true, Grounds: "x"})
	want(t, "an approver", err, reason.PermissionDenied)

	put := &griffierv1.PutStaffLineRequest{RequestId: "request-5", Staff: id(77), LineId: "Line-1"}
	_, err = o.PutStaffLine(controller, put)
	want(t, "staff", err, "")
	_, err = o.PutStaffLine(controller, &griffierv1.PutStaffLineRequest{RequestId: "request-6", Staff: id(77), LineId: "Line-2"})
	want(t, "an unknown line", err, reason.NotFound)
	_, err = o.PutStaffLine(controller, &griffierv1.PutStaffLineRequest{RequestId: "request-7", Staff: "erin", LineId: "Line-1"})
	want(t, "a name", err, reason.InvalidRequest)
	members, err := o.ListStaff(overseer, &griffierv1.ListStaffRequest{})
	if err != nil || len(members.GetStaff()) != 1 || members.GetStaff()[0].GetStaff() != id(77) || members.GetStaff()[0].GetLines() != 1 {
		t.Errorf("staff = %v, %v", members, err)
	}
	// Of whoever's line, and whoever asks: unless somebody from outside approved.
	w, _ := o.Legal.Warrant(id(1))
	by := warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}
	err = o.watch.Conflict(t.Context(), w, by, []string{"Line-9", "Line-1"})
	want(t, "a colleague's line", err, reason.ConflictOfInterest)
	if refused := reason.From(err); refused != nil && (refused.Detail != "" || len(refused.Violations) > 0) {
		t.Errorf("the refusal tells more than that there is a conflict: %v", err)
	}
	want(t, "other lines", o.watch.Conflict(t.Context(), w, by, []string{"Line-9"}), "")
	w.Approvals[1].Role = warrant.ExternalApprover
	want(t, "approved from outside", o.watch.Conflict(t.Context(), w, by, []string{"Line-1"}), "")
	_, err = o.RemoveStaffLine(controller, &griffierv1.RemoveStaffLineRequest{RequestId: "request-8", Staff: id(77), LineId: "Line-1"})
	want(t, "removed", err, "")
	if members, err = o.ListStaff(overseer, &griffierv1.ListStaffRequest{}); err != nil || len(members.GetStaff()) != 0 {
		t.Errorf("staff = %v, %v", members, err)
	}
	o.importStaff(t)
	entries, err := o.Book.Read(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, _ := e.Encode()
		for _, never := range []string{"Line-1", "Telephone", "prosecutor", "subject-of", "erin@isp.example"} {
			if strings.Contains(string(text), never) {
				t.Errorf("entry %d (%s) has %q in the clear", e.Index, e.Header.Kind, never)
			}
		}
	}
}

// importStaff: the list from a file is what was shown before, it locks out, and what is
// not in the next file is no longer on it.
func (o *office) importStaff(t *testing.T) {
	t.Helper()
	rows := func(rows ...string) (out []*griffierv1.StaffAccountLine) {
		for _, row := range rows {
			account, line, _ := strings.Cut(row, " ")
			out = append(out, &griffierv1.StaffAccountLine{Account: account, LineId: line})
		}
		return out
	}
	send := func(request, plan string, lines []*griffierv1.StaffAccountLine) (*griffierv1.StaffImport, error) {
		return o.ImportStaffLines(controller, &griffierv1.ImportStaffLinesRequest{RequestId: request, Lines: lines, Plan: plan, ValidateOnly: plan == ""})
	}
	for name, lines := range map[string][]*griffierv1.StaffAccountLine{"nobody": nil, "an unknown line": rows("erin@isp.example Line-1", "bob Line-none"),
		"one twice": rows("erin@isp.example Line-1", "erin@isp.example Line-1"), "a name with a space": rows("erin\u00a0x Line-1"), "no line": rows("erin@isp.example ")} {
		_, err := send("import-0000", "", lines)
		want(t, name, err, reason.InvalidRequest)
		if refused := reason.From(err); refused != nil && strings.Contains(fmt.Sprint(refused.Violations), "erin") {
			t.Errorf("%s: the refusal repeats the file: %v", name, refused.Violations)
		}
	}
	file := rows("erin@isp.example Line-1", id(78)+" Line-1")
	before := o.Book.Size()
	shown, err := send("import-0001", "", file)
	if err != nil || len(shown.GetChanges()) != 2 || shown.GetChanges()[0].GetAdded() != 1 || o.Book.Size() != before {
		t.Fatalf("plan = %v, %v, %d entries", shown, err, o.Book.Size()-before)
	}
	_, err = send("import-0002", strings.Repeat("0", 64), file)
	want(t, "a plan that nobody was shown", err, reason.GenerationMismatch)
	_, err = send("import-0003", shown.GetPlan(), rows("erin@isp.example Line-1"))
	want(t, "another file than was shown", err, reason.GenerationMismatch)
	done, err := send("import-0004", shown.GetPlan(), file)
	if err != nil || done.GetLedgerIndex() == 0 || done.GetChanges()[0].GetAdded() != 1 {
		t.Fatalf("import = %v, %v", done, err)
	}
	_, err = send("import-0004", shown.GetPlan(), rows(id(79)+" Line-1"))
	want(t, "another file under the same request", err, reason.GenerationMismatch)
	if again, err := send("import-0004", shown.GetPlan(), file); err != nil || again.GetLedgerIndex() != done.GetLedgerIndex() {
		t.Errorf("the same request again = %v, %v", again, err)
	}
	_, err = send("import-0005", shown.GetPlan(), file)
	want(t, "the plan of a list that has changed since", err, reason.GenerationMismatch)
	w, _ := o.Legal.Warrant(id(1))
	want(t, "a line of the file", o.watch.Conflict(t.Context(), w, warrant.Caller{Actor: "0ff1"}, []string{"Line-1"}), reason.ConflictOfInterest)
	next, err := send("import-0006", "", rows(id(78)+" Line-1"))
	if err != nil || len(next.GetChanges()) != 2 {
		t.Fatalf("plan = %v, %v", next, err)
	}
	if _, err = send("import-0006", next.GetPlan(), rows(id(78)+" Line-1")); err != nil {
		t.Fatal(err)
	}
	list := func(due bool, n int) {
		t.Helper()
		members, err := o.ListStaff(overseer, &griffierv1.ListStaffRequest{})
		if err != nil || len(members.GetStaff()) != n || members.GetDue() != due || members.GetListedAt() == nil {
			t.Errorf("staff = %v, %v; want %d, due %v", members, err, n, due)
		}
	}
	list(false, 1)
	o.skew += oversight.DefaultStaffListDays * 24 * time.Hour
	list(true, 1)
	if m, err := o.GetOversight(overseer, &griffierv1.GetOversightRequest{}); err != nil || !m.GetStaffListDue() {
		t.Errorf("the overseer is not told that the list is old: %v, %v", m.GetStaffListDue(), err)
	}
}
