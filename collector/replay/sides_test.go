package replay

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"griffier/schema"
)

// sided is a frame as one of two interfaces saw it.
type sided struct {
	data []byte
	at   time.Time
	side int
}

// bothSides returns a pcapng file of a relay's access side, as "acc0", and of its
// server side, as "up0", whose frames are written late.
func bothSides(t *testing.T, late time.Duration) []byte {
	t.Helper()
	var frames []sided
	for side, name := range []string{"dhcp4_client_side_dora_renew_release", "dhcp4_relay_server_opt82"} {
		c, err := openCapture("testdata/" + name + ".pcap")
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for {
			data, _, at, _, err := c.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, sided{bytes.Clone(data), at, side})
		}
	}
	written := func(f sided) time.Time { return f.at.Add(time.Duration(f.side) * late) }
	slices.SortStableFunc(frames, func(a, b sided) int { return written(a).Compare(written(b)) })
	var out bytes.Buffer
	face := func(name string) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, SnapLength: maxPacketBytes}
	}
	w, err := pcapgo.NewNgWriterInterface(&out, face("acc0"), pcapgo.NgWriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(face("up0")); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: f.at, CaptureLength: len(f.data), Length: len(f.data), InterfaceIndex: f.side}
		if err := w.WritePacket(info, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Both sides of a relay in one file tell of the leases that its access side tells
// of, not of each twice and of a quarrel over it, also if the two were not written
// in the order of their times.
func TestBothSidesOfARelay(t *testing.T) {
	o := options(t, "dhcp4_client_side_dora_renew_release")
	o.Interface = "acc0"
	alone, _ := replayed(t, o)
	for _, late := range []time.Duration{0, -2 * time.Millisecond, 700 * time.Millisecond, -700 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			o := o
			o.Path, o.Access = fileOf(t, bothSides(t, late)), []string{"acc0"}
			chosen, summary := replayed(t, o)
			want(t, held(chosen), held(alone)...)
			if summary.Elsewhere != 29 || summary.Together != 0 || summary.Backwards != 0 {
				t.Errorf("%d packets elsewhere, %d interfaces together, %d packets backwards; want the 29 of up0, 0, 0",
					summary.Elsewhere, summary.Together, summary.Backwards)
			}
			if bytesOf(chosen) != bytesOf(alone) {
				t.Errorf("counted %d bytes, want %d as on the access side alone", bytesOf(chosen), bytesOf(alone))
			}
			o.Interface, o.Access = "eth1", nil
			together, summary := replayed(t, o)
			if n := len(held(together)); n != 4 || summary.Together != 2 || summary.Packets != 48 {
				t.Errorf("%d slices of %d packets, %d interfaces together; want 4 of 2 leases, 48, 2:\n%s",
					n, summary.Packets, summary.Together, strings.Join(held(together), "\n"))
			}
		})
	}
}

func bytesOf(records []schema.Record) (sum uint64) {
	for _, r := range records {
		if u, ok := r.(*schema.Usage); ok {
			sum += u.Bytes
		}
	}
	return sum
}

// A capture that goes back in time would bind addresses when nobody held them.
func TestBackwards(t *testing.T) {
	o := options(t, "dhcp4_client_side_dora_renew_release")
	c, err := openCapture(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(maxPacketBytes, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		data, length, at, _, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == 12 {
			at = at.Add(-time.Minute)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: length}, data); err != nil {
			t.Fatal(err)
		}
	}
	o.Path = fileOf(t, out.Bytes())
	_, err = Run(t.Context(), o, func([]schema.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "packet 13 is ") || !strings.Contains(err.Error(), "reordercap") {
		t.Errorf("%v, want packet 13 refused", err)
	}
}

// What a short snap length took away is said.
func TestPartsOfPackets(t *testing.T) {
	o := options(t, "dhcp4_client_side_dora_renew_release")
	c, err := openCapture(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(96, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for {
		data, length, at, _, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data = data[:min(96, len(data))]
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: length}, data); err != nil {
			t.Fatal(err)
		}
	}
	o.Path = fileOf(t, out.Bytes())
	records, summary := replayed(t, o)
	var said bytes.Buffer
	summary.Write(&said)
	if len(held(records)) != 0 || summary.Cut != 15 || !strings.Contains(said.String(), "captured in part only: 15") {
		t.Errorf("%d slices, %d packets in part; want 0, the 15 of DHCP\n%s", len(held(records)), summary.Cut, said.String())
	}
}

// A capture of which nothing comes says why.
func TestNothingTold(t *testing.T) {
	o := options(t, "radius_acct_start_interim_stop_gigawords")
	for port, want := range map[uint16]bool{1813: false, 18130: true} {
		o.RADIUSPort = port
		_, summary := replayed(t, o)
		var said bytes.Buffer
		summary.Write(&said)
		if strings.Contains(said.String(), "nothing tells who holds what") != want {
			t.Errorf("RADIUS on port %d:\n%s", port, said.String())
		}
	}
}
