package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

// pcapgo is the second opinion on every packet of a file, in any byte order and
// unit of time, compressed or not.
func TestPcapAgreesWithPcapgo(t *testing.T) {
	names, err := filepath.Glob("testdata/*.pcap")
	if err != nil || len(names) < 6 {
		t.Fatalf("%d captures, %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		nanoseconds := bytes.Clone(text)
		binary.LittleEndian.PutUint32(nanoseconds, magicNanoseconds)
		var compressed bytes.Buffer
		z := gzip.NewWriter(&compressed)
		z.Write(text)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string][]byte{
			"as it is": text, "nanoseconds": nanoseconds, "swapped": swapped(text), "swapped nanoseconds": swapped(nanoseconds), "compressed": compressed.Bytes(),
		} {
			c, err := openCapture(fileOf(t, text))
			if err != nil {
				t.Fatalf("%s %s: %v", name, form, err)
			}
			defer c.close()
			r, err := pcapgo.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; ; n++ {
				want, info, wantErr := r.ReadPacketData()
				data, length, at, _, err := c.next()
				if errors.Is(wantErr, io.EOF) && errors.Is(err, io.EOF) {
					if n == 0 {
						t.Errorf("%s %s: no packets", name, form)
					}
					break
				}
				if err != nil || wantErr != nil || !bytes.Equal(data, want) || length != info.Length || !at.Equal(info.Timestamp) {
					t.Fatalf("%s %s: packet %d: %d of %d octets at %v, %v; pcapgo says %d of %d at %v, %v",
						name, form, n, len(data), length, at, err, len(want), info.Length, info.Timestamp, wantErr)
				}
			}
		}
	}
}

// swapped is a little-endian file in big-endian order.
func swapped(text []byte) []byte {
	out := bytes.Clone(text)
	swap := func(at, size int) { slices.Reverse(out[at : at+size]) }
	for at, size := range map[int]int{0: 4, 4: 2, 6: 2, 8: 4, 12: 4, 16: 4, 20: 4} {
		swap(at, size)
	}
	for at := 24; at < len(text); at += recordHeadBytes + int(binary.LittleEndian.Uint32(text[at+8:])) {
		for i := range 4 {
			swap(at+4*i, 4)
		}
	}
	return out
}

// What a record's head claims is checked before it is believed.
func TestPcapLengthsAreNotBelieved(t *testing.T) {
	text, err := os.ReadFile("testdata/pppoe_session.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for offset, value := range map[int]uint32{24 + 8: 1 << 31, 24 + 12: 10} {
		bad := bytes.Clone(text)
		binary.LittleEndian.PutUint32(bad[offset:], value)
		c, err := openCapture(fileOf(t, bad))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if _, _, _, _, err := c.next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}
