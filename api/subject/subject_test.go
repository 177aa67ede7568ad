package subject

import (
	"errors"
	"slices"
	"testing"
	"time"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
)

const controller = griffierv1.Role_ROLE_PRIVACY_CONTROLLER

// TestErasure has two people erase a line whose identifier another line got after
// it, and looks for what is left of it everywhere.
func TestErasure(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	begun, ended := now.Add(-30*24*time.Hour), now.Add(-10*24*time.Hour)
	ref := h.line(t, "L-gone", "gone@isp.example", begun, ended)
	other := h.line(t, "L-other", "other@isp.example", begun, ended)
	for _, at := range []time.Time{begun.Add(time.Hour), ended.Add(-time.Hour), ended.Add(time.Hour)} { // a modem outlives its contract
		h.traffic(t, ref, at)
		h.traffic(t, other, at)
	}
	if got := h.readable(t, ref); got != 9 {
		t.Fatalf("%d rows can be read before, want 9", got)
	}
	// The negative control of what follows: before, both are found.
	raw := string(ref[:])
	if found := h.places(t, ref.String()); len(found) != 0 {
		t.Fatalf("the reference is stored as text in %v", found)
	}
	if got := h.count(t, "SELECT count() FROM traffic.session_slice WHERE position(toString(access_ref), unhex('"+ref.String()+"')) > 0"); got == 0 {
		t.Fatal("the search finds nothing where there is something")
	}
	if h.onDisk(t, []byte("L-gone")) == 0 && h.onDisk(t, ref[:]) == 0 {
		t.Fatal("neither line nor reference is on disk before")
	}

	anna, bert := as("anna", controller), as("bert", controller)
	x, err := h.service.RequestErasure(anna, &griffierv1.RequestErasureRequest{RequestId: "request-1", LineId: "L-gone"})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.readable(t, ref); got != 9 {
		t.Errorf("%d rows can be read after the request alone, want 9", got)
	}
	approve := &griffierv1.ApproveErasureRequest{RequestId: "approve-1", ErasureId: x.GetErasureId(), LineId: "L-gone"}
	if _, err := h.service.ApproveErasure(anna, approve); reason.Of(err) != reason.SelfApproval {
		t.Errorf("the requester approved: %v", err)
	}
	wrong := &griffierv1.ApproveErasureRequest{RequestId: "approve-2", ErasureId: x.GetErasureId(), LineId: "L-other"}
	if _, err := h.service.ApproveErasure(bert, wrong); reason.Of(err) != reason.GenerationMismatch {
		t.Errorf("another line was approved: %v", err)
	}
	h.desk.Backups = func() []Copy {
		return []Copy{{BackupID: "b1", MadeAt: now.Add(-time.Hour), UnreadableBy: now.Add(24 * time.Hour)}}
	}
	if x, err = h.service.ApproveErasure(bert, approve); err != nil {
		t.Fatal(err)
	}
	if x.GetState() != griffierv1.ErasureState_ERASURE_STATE_UNREADABLE || len(x.GetBackups()) != 1 || x.GetOffDiskBy() == nil {
		t.Errorf("ApproveErasure = %v", x)
	}
	if got := h.readable(t, ref); got != 0 {
		t.Errorf("%d rows can be read after the erasure", got)
	}
	if got := h.readable(t, other); got != 9 {
		t.Errorf("%d rows of another line can be read, want 9", got)
	}
	if err := h.keys.State("person:L-gone"); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the person's key: %v", err)
	}
	if _, err := h.reg.Line(t.Context(), "L-gone"); !errors.Is(err, register.ErrUnknownLine) {
		t.Errorf("the line: %v", err)
	}
	// What comes late, and what the spool sends again, is not seen.
	h.traffic(t, ref, ended.Add(-2*time.Hour))
	if got := h.readable(t, ref); got != 0 {
		t.Errorf("%d late rows can be read", got)
	}
	if h.desk.due() {
		t.Error("the rewrite does not wait for others")
	}
	h.now = func() time.Time { return time.Now().Add(rewriteAfter + time.Hour) }
	if !h.desk.due() {
		t.Error("no rewrite is due after five days")
	}
	if err := h.desk.rewrite(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, _ := h.desk.State.Erasure(x.GetErasureId())
	if e.RewrittenAt.IsZero() {
		t.Error("there is no proof in the ledger")
	}
	for _, value := range []string{raw, ref.String(), "L-gone", "A-L-gone"} {
		if found := h.places(t, value); len(found) != 0 {
			t.Errorf("%q is left in %v", value, found)
		}
		if n := h.onDisk(t, []byte(value)); n != 0 {
			t.Errorf("%q is left in %d files", value, n)
		}
	}
	if got := h.count(t, "SELECT count() FROM traffic.access_log WHERE empty(access_refs)"); got != 4 {
		t.Errorf("%d entries of the log of reads lost their reference, want 4", got)
	}
	if got := h.readable(t, other); got != 9 {
		t.Errorf("%d rows of another line are left, want 9", got)
	}
	if _, err := h.service.RequestErasure(anna, &griffierv1.RequestErasureRequest{RequestId: "request-2", LineId: "L-gone"}); reason.Of(err) != reason.NotFound {
		t.Errorf("an erased line is known: %v", err)
	}
}

// TestErasureOfARunningContract is refused, at the request and at the approval.
func TestErasureOfARunningContract(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	h.line(t, "L-runs", "runs@isp.example", now.Add(-time.Hour*100), now.Add(time.Hour*100))
	h.line(t, "L-ended", "ended@isp.example", now.Add(-time.Hour*100), now.Add(-time.Hour))
	_, err := h.service.RequestErasure(as("anna", controller), &griffierv1.RequestErasureRequest{RequestId: "request-1", LineId: "L-runs"})
	if reason.Of(err) != reason.ContractRunning {
		t.Errorf("RequestErasure = %v", err)
	}
	x, err := h.service.RequestErasure(as("anna", controller), &griffierv1.RequestErasureRequest{RequestId: "request-2", LineId: "L-ended"})
	if err != nil {
		t.Fatal(err)
	}
	h.line(t, "L-ended", "ended@isp.example", now.Add(-time.Hour*100), now.Add(100*time.Hour)) // it goes on after all
	approve := &griffierv1.ApproveErasureRequest{RequestId: "approve-1", ErasureId: x.GetErasureId(), LineId: "L-ended"}
	if _, err := h.service.ApproveErasure(as("bert", controller), approve); reason.Of(err) != reason.ContractRunning {
		t.Errorf("ApproveErasure = %v", err)
	}
	h.now = func() time.Time { return time.Now().Add(RequestLife + 200*time.Hour) }
	list, err := h.service.ListErasures(t.Context(), nil)
	if err != nil || list.GetErasures()[0].GetState() != griffierv1.ErasureState_ERASURE_STATE_LAPSED {
		t.Errorf("ListErasures = %v, %v", list, err)
	}
}

// TestErasureResumes stops an erasure after each of its steps and starts again.
func TestErasureResumes(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	for step, stop := range []func(line string, x Erasure) error{
		func(string, Erasure) error { return nil }, // right after the approval
		func(line string, x Erasure) error {
			_, err := h.reg.ErasureOf(t.Context(), line, x.ApprovedAt)
			return errors.Join(err, h.keys.Shred("person:"+line))
		},
		func(line string, x Erasure) error {
			_, err := h.desk.eraseLine(t.Context(), line, x.ApprovedAt)
			return err
		}, // all but the entry
	} {
		line := string(rune('a'+step)) + "-line"
		ref := h.line(t, line, line, now.Add(-100*time.Hour), now.Add(-time.Hour))
		h.traffic(t, ref, now.Add(-50*time.Hour))
		x, err := h.service.RequestErasure(as("anna", controller), &griffierv1.RequestErasureRequest{RequestId: "request-" + line, LineId: line})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.service.decide(as("bert", controller), "ApproveErasure", "approve-"+line, line, approved(x.GetErasureId()))
		if err != nil {
			t.Fatal(err)
		}
		e, _ := h.desk.State.Erasure(x.GetErasureId())
		if err := stop(line, e); err != nil {
			t.Fatal(err)
		}
		if err := h.book.Close(); err != nil {
			t.Fatal(err)
		}
		h.open(t)
		if err := h.desk.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, _ := h.desk.State.Erasure(x.GetErasureId()); e.ErasedAt.IsZero() {
			t.Errorf("step %d: not carried out", step)
		}
		if n := h.readable(t, ref); n != 0 {
			t.Errorf("step %d: %d rows can be read", step, n)
		}
		if _, err := h.reg.Line(t.Context(), line); !errors.Is(err, register.ErrUnknownLine) {
			t.Errorf("step %d: the line: %v", step, err)
		}
	}
}

// TestCarriedOutLater: what was decided and then failed is carried out by the next look,
// without a restart and without anybody who asks again.
func TestCarriedOutLater(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	from, to := now.Add(-100*time.Hour), now.Add(-time.Hour)
	ref := h.line(t, "L-gone", "gone", from, to)
	h.traffic(t, ref, now.Add(-50*time.Hour))
	h.line(t, "L-restricted", "restricted", from, to)
	x, err := h.service.RequestErasure(as("anna", controller), &griffierv1.RequestErasureRequest{RequestId: "request-1", LineId: "L-gone"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.service.decide(as("bert", controller), "ApproveErasure", "approve-1", "L-gone", approved(x.GetErasureId())); err != nil {
		t.Fatal(err)
	}
	restricted := func(line string) error {
		id := newID()
		_, err := h.service.decide(as("anna", controller), "RestrictLine", "restrict-"+line, line, func(time.Time, auth.Caller) (string, any, *reason.Error) {
			return KindRestricted, lineFacts{ID: id, Token: h.reg.Token(id, line), Ground: groundObjection}, nil
		})
		return err
	}
	if err := errors.Join(restricted("L-restricted"), restricted("L-gone-before")); err != nil {
		t.Fatal(err)
	}
	if h.readable(t, ref) == 0 {
		t.Fatal("erased by the decision alone")
	}
	h.desk.look(t.Context())
	if n := h.readable(t, ref); n != 0 {
		t.Errorf("%d rows of an erased line can be read", n)
	}
	if marked, err := h.reg.RestrictedLines(t.Context()); err != nil || !slices.Equal(marked, []string{"L-restricted"}) {
		t.Errorf("restricted lines: %v, %v", marked, err)
	}
	if _, err := h.service.LiftRestriction(as("anna", controller), &griffierv1.LiftRestrictionRequest{RequestId: "lift-0001", LineId: "L-restricted"}); err != nil {
		t.Fatal(err)
	}
	size := h.book.Size()
	h.desk.look(t.Context())
	if marked, err := h.reg.RestrictedLines(t.Context()); err != nil || len(marked) > 0 {
		t.Errorf("restricted lines after the restriction was lifted: %v, %v", marked, err)
	}
	if h.book.Size() != size {
		t.Errorf("%d entries of a look that had nothing to do", h.book.Size()-size)
	}
}

// TestReapplyOldKeys brings back keys, but no store, from before an erasure: the key of
// the person whom the register has forgotten goes again, and no other.
func TestReapplyOldKeys(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	from, to := now.Add(-100*time.Hour), now.Add(-time.Hour)
	h.line(t, "L-gone", "gone", from, to)
	h.line(t, "L-stays", "stays", from, to)
	h.erase(t, "L-gone")
	old := newKeys(t)
	for _, id := range []string{"person:L-gone", "person:L-stays", "person:L-newer-than-the-register", "case:1"} {
		if err := old.Create(id); err != nil {
			t.Fatal(err)
		}
	}
	h.keys = old
	h.desk.Register = h.register(t)
	if err := h.desk.Reapply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := old.State("person:L-gone"); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the erased person's key: %v", err)
	}
	if left, err := old.List(); err != nil || !slices.Equal(left, []string{"case:1", "person:L-newer-than-the-register", "person:L-stays"}) {
		t.Errorf("keys that are left: %v, %v", left, err)
	}
}

// TestReapply brings an erased line and a restricted one back as a restore does.
func TestReapply(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	from, to := now.Add(-100*time.Hour), now.Add(-time.Hour)
	ref := h.line(t, "L-1", "one", from, to)
	h.traffic(t, ref, now.Add(-50*time.Hour))
	h.line(t, "L-2", "two", from, to)
	if _, err := h.service.RestrictLine(as("anna", controller), &griffierv1.RestrictLineRequest{RequestId: "restrict-1", LineId: "L-2", Ground: griffierv1.RestrictionGround_RESTRICTION_GROUND_OBJECTION}); err != nil {
		t.Fatal(err)
	}
	h.erase(t, "L-1")
	for _, table := range []string{"register.line", "register.line_access", "register.person", "register.restriction"} {
		if err := h.conn.Exec(t.Context(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.conn.Exec(t.Context(), "ALTER TABLE traffic.gate DELETE WHERE held_from < held_until SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	// An old store with old keys: the same line, person and traffic as before.
	old := newKeys(t)
	current := h.keys
	h.keys = old
	h.reg = h.register(t)
	h.desk.Register = h.reg
	h.line(t, "L-1", "one", from, to)
	h.line(t, "L-2", "two", from, to)
	if h.readable(t, ref) == 0 {
		t.Fatal("nothing is readable in the restored store")
	}
	if err := h.desk.Reapply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.readable(t, ref); n != 0 {
		t.Errorf("%d rows can be read", n)
	}
	if err := old.State("person:L-1"); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the person's key: %v", err)
	}
	if restricted, err := h.reg.Restricted(t.Context(), "L-2"); err != nil || !restricted {
		t.Errorf("Restricted = %v, %v", restricted, err)
	}
	if n := h.count(t, "SELECT count() FROM traffic.session_slice"); n != 0 {
		t.Errorf("%d rows are on disk", n)
	}
	h.keys = current
}
