package server

import (
	"fmt"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// TestNothingBeginsWhileTheCopyIsTooFarBehind: what needs the ledger is refused,
// before anything is entered; reading the ledger, and what needs none, goes on.
func TestNothingBeginsWhileTheCopyIsTooFarBehind(t *testing.T) {
	d := newDesk(t)
	var behind error
	a := &audit{book: d.book, refuses: func() error { return behind }, keys: d.keys, now: time.Now}
	ask := func(method string, class griffierv1.Audit) error {
		return a.before(t.Context(), call{method: method, rule: &griffierv1.Access{Audit: class}}, nil)
	}
	calls := map[string]griffierv1.Audit{"WarrantService/ApproveWarrant": griffierv1.Audit_AUDIT_LEDGER_ACT, "SupportService/LookUp": griffierv1.Audit_AUDIT_LEDGER_READ}
	for method, class := range calls {
		if err := ask(method, class); err != nil {
			t.Fatalf("negative control: %s: %v", method, err)
		}
	}
	size := d.book.Size()
	behind = fmt.Errorf("%w: the copy has not had its entries for 25h", ledger.ErrUnavailable)
	for method, class := range calls {
		if err := ask(method, class); reason.Of(err) != reason.LedgerUnavailable {
			t.Errorf("%s: %v", method, err)
		}
	}
	if d.book.Size() != size {
		t.Error("a refused call was entered as read")
	}
	if err := ask("LedgerService/ListEntries", griffierv1.Audit_AUDIT_LEDGER_READ); err != nil || d.book.Size() != size+1 {
		t.Errorf("the overseer cannot read the ledger: %v", err)
	}
	if err := ask("LedgerService/GetLedgerStatus", griffierv1.Audit_AUDIT_NONE); err != nil {
		t.Errorf("status: %v", err)
	}
}
