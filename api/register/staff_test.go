package register

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"griffier/schema"
)

// The list of staff lines tells who has the register's key of a line whether it is
// on it, and who has the table only nothing of a line.
func TestStaffLines(t *testing.T) {
	o := newOffice(t)
	begin := time.Now().Add(-time.Hour)
	for i, id := range []string{"L-own", "L-other", "L-partner"} {
		name := Identifier{Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: fmt.Sprintf("u%d@isp.example", i)}, ValidFrom: begin, ValidTo: schema.Forever}
		err := o.PutLine(o.ctx, Line{LineID: id, AccountID: "A-" + id, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: begin, ContractEnd: schema.Forever},
			[]Identifier{name}, Person{Name: "Somebody"})
		if err != nil {
			t.Fatal(err)
		}
	}
	const erin, joost = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	put := func(actor, line string, is bool) {
		t.Helper()
		if err := o.PutStaffLine(o.ctx, actor, line, is); err != nil {
			t.Fatal(err)
		}
	}
	want := func(line string, is bool) {
		t.Helper()
		if got, err := o.StaffLine(o.ctx, line); err != nil || got != is {
			t.Errorf("%s is listed: %v, %v; want %v", line, got, err, is)
		}
	}
	put(erin, "L-own", true)
	put(erin, "L-own", true)
	put(joost, "L-partner", true)
	put(erin, "L-partner", true)
	want("L-own", true)
	want("L-partner", true)
	want("L-other", false)
	if got, err := o.Staff(o.ctx); err != nil || !maps.Equal(got, map[string]uint64{erin: 2, joost: 1}) {
		t.Errorf("staff = %v, %v", got, err)
	}
	// The line of two employees is listed while one of them has it.
	put(joost, "L-partner", false)
	want("L-partner", true)
	put(erin, "L-partner", false)
	want("L-partner", false)
	if err := o.PutStaffLine(o.ctx, erin, "L-nobody", true); !errors.Is(err, ErrUnknownLine) {
		t.Errorf("an unknown line: %v, want ErrUnknownLine", err)
	}
	rows, err := o.conn.Query(o.ctx, "SELECT concat(line_tag, ' ', actor) FROM register.staff_line")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		if n++; strings.Contains(text, "L-") {
			t.Errorf("the table names a line: %s", text)
		}
	}
	if n == 0 {
		t.Error("the table has no row to look at")
	}
	if err := o.Erase(o.ctx, "L-own"); err != nil {
		t.Fatal(err)
	}
	want("L-own", false)
	if got, err := o.Staff(o.ctx); err != nil || len(got) != 0 {
		t.Errorf("staff after an erasure = %v, %v; want nobody", got, err)
	}
}
