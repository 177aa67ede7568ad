package lease

import (
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"griffier/collector/binding"
)

// TestCapturesAsKeaRecordedThem compares every observation with the row that Kea
// 2.2.0 wrote to its lease file at that moment: dhclient with IA_NA and IA_PD
// through dhcrelay, two renewals, RELEASE of both at once; then dhcp6c with rapid
// commit and different IAIDs, which releases each by a message of its own.
func TestCapturesAsKeaRecordedThem(t *testing.T) {
	file, err := os.Open("testdata/dhcp6_release_rapid_kea.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range rows[1:] {
		what, expires := "held", row[3]
		if row[2] == "0" { // valid lifetime: Kea deletes so
			what, expires = "given up", "-"
		}
		want = append(want, fmt.Sprintf("%s %s/%s until %s", what, row[0], row[8], expires))
	}
	if len(want) != 12 {
		t.Fatalf("Kea wrote %d rows, want 12", len(want))
	}
	for _, side := range []string{"client", "server"} {
		tracker := NewTracker6(Config{})
		var got []string
		for _, f := range readCapture(t, "dhcp6_release_rapid_"+side+"_side.pcap", 16) {
			r := tracker.Apply(Frame{At: f.at, Interface: "e0", Data: f.data}, nil)
			if r.BadOptions != 0 || r.Reason != "" && r.Reason != ReasonNoBinding {
				t.Errorf("%s: %+v", side, r)
			}
			for _, o := range r.Observations {
				_, prefix, err := parseSessionKey6(o.SessionKey)
				if err != nil {
					t.Fatal(err)
				}
				if o.Kind == binding.End {
					got = append(got, fmt.Sprintf("given up %s until -", prefix))
					continue
				}
				if !slices.Equal(o.Prefixes, []netip.Prefix{prefix}) {
					t.Errorf("%s: prefixes %v of %v", side, o.Prefixes, prefix)
				}
				got = append(got, fmt.Sprintf("held %s until %s", prefix, strconv.FormatInt(o.ExpiresAt.Unix(), 10)))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s side:\n got %v\nwant %v", side, got, want)
		}
		if tracker.Len() != 0 {
			t.Errorf("%s side: %d leases left", side, tracker.Len())
		}
	}
}
