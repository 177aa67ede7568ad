package usage

import (
	"testing"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// TestSourcesAreNeverAdded: a line that both a kernel and a BNG count has moved
// what the kernel says; on days and lines of which only the BNG told, what it says.
func TestSourcesAreNeverAdded(t *testing.T) {
	ctx, conn := store(t)
	r := NewReader(conn)
	byBNG := func(ref byte, at time.Time, bytes uint64) *schema.Usage {
		u := used(ref, at, schema.Down, 0, bytes)
		u.Source, u.IPVersion, u.CounterID = schema.UsageRADIUS, 0, schema.ID{8, ref}
		return u
	}
	at := day(-3).Add(10 * time.Hour)
	// Ref 1 is the modem's, counted by the kernel; ref 2 the same line's user name.
	put(t, conn, used(1, at, schema.Down, 4, 100), used(1, at.Add(5*time.Minute), schema.Down, 6, 50),
		byBNG(2, at.Add(5*time.Minute), 120), byBNG(2, at.Add(15*time.Minute), 40), // lumps, the second in an idle bucket
		byBNG(2, at.Add(24*time.Hour), 1000), byBNG(3, at, 7))
	for _, test := range []struct {
		name string
		refs []register.Held
		w    Window
		want uint64
	}{
		{"both, one day", []register.Held{always(1), always(2)}, Window{day(-3), day(-2)}, 150},
		{"both, a window without kernel rows on a day with", []register.Held{always(1), always(2)}, Window{at.Add(10 * time.Minute), at.Add(time.Hour)}, 0},
		{"both, a day of the BNG alone", []register.Held{always(1), always(2)}, Window{day(-2), day(-1)}, 1000},
		{"both, two days", []register.Held{always(1), always(2)}, Window{day(-3), day(-1)}, 1150},
		{"a line of the BNG alone", []register.Held{always(3)}, Window{day(-3), day(-1)}, 7},
		{"the user name alone", []register.Held{always(2)}, Window{day(-3), day(-1)}, 1160},
	} {
		buckets, err := r.Buckets(ctx, test.refs, test.w)
		if err != nil {
			t.Fatal(err)
		}
		var total uint64
		for _, b := range buckets {
			total += b.Volume.BytesDown
		}
		if total != test.want {
			t.Errorf("%s: %d bytes, want %d: %+v", test.name, total, test.want, buckets)
		}
	}
}
