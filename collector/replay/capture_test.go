package replay

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// inPcapng returns the frames of a bundled capture as a pcapng file.
func inPcapng(t testing.TB, name string) []byte {
	t.Helper()
	c, err := openCapture(filepath.Join("testdata", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
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
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: length}, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func fileOf(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A pcapng file says the same as a pcap one, whole or cut within a block.
func TestPcapng(t *testing.T) {
	const name = "radius_acct_start_interim_stop_gigawords"
	o := options(t, name)
	before, _ := replayed(t, o)
	text := inPcapng(t, name)
	o.Path = fileOf(t, text)
	after, summary := replayed(t, o)
	if summary.CutOff || summary.Packets != 28 {
		t.Errorf("%d packets, cut off %t; want 28, false", summary.Packets, summary.CutOff)
	}
	want(t, held(after), held(before)...)
	for _, cut := range []int{2, 6, 30} {
		o.Path = fileOf(t, text[:len(text)-cut])
		if _, summary := replayed(t, o); !summary.CutOff || summary.Packets != 27 {
			t.Errorf("less its last %d octets: %d packets, cut off %t; want 27, true", cut, summary.Packets, summary.CutOff)
		}
	}
}

// A length in the file is not a reason to allocate it.
func TestPcapngLengthsAreNotBelieved(t *testing.T) {
	text := inPcapng(t, "pppoe_session")
	at := bytes.LastIndex(text, []byte{6, 0, 0, 0}) // the last enhanced packet block
	for offset, want := range map[int]string{4: "block of", 20: "packet of"} {
		bad := bytes.Clone(text)
		copy(bad[at+offset:], []byte{0xfc, 0xff, 0xff, 0xff})
		c, err := openCapture(fileOf(t, bad))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if _, _, err := c.ends(true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("offset %d: %v, want %q", offset, err, want)
		}
	}
}

// Options that pcapng's reader trusts are no reason to die.
func TestPcapngOptionsAreNotTrusted(t *testing.T) {
	text := inPcapng(t, "pppoe_session")
	resolution := []byte{9, 0, 1, 0} // if_tsresol
	at := bytes.Index(text, resolution)
	if at < 0 {
		t.Fatal("no resolution in the file")
	}
	for what, bad := range map[string]byte{"2^-96 s": 0xe0, "10^-64 s": 64} {
		_, err := openCapture(fileOf(t, slices.Concat(text[:at], resolution, []byte{bad}, text[at+len(resolution)+1:])))
		if err == nil || !strings.Contains(err.Error(), "malformed block") {
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
}

// Whatever a file holds, replaying it ends, with records that are valid or an error.
func FuzzCapture(f *testing.F) {
	for _, name := range []string{"pppoe_session", "dhcp6_client_side_iana_iapd"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".pcap"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(inPcapng(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := openCapture(fileOf(t, text))
		if err != nil {
			return
		}
		defer c.close()
		for range 1000 {
			data, _, at, _, err := c.next()
			if err != nil {
				return
			}
			if len(data) > maxPacketBytes {
				t.Fatalf("a packet of %d octets", len(data))
			}
			_ = at.Truncate(time.Second)
		}
	})
}

// A pcapng file packed by gzip says the same, as one of pcap does.
func TestGzip(t *testing.T) {
	const name = "dhcp4_client_side_dora_renew_release"
	o := options(t, name)
	plain, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := replayed(t, o)
	for what, text := range map[string][]byte{"pcap": plain, "pcapng": inPcapng(t, name)} {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		o.Path = fileOf(t, packed.Bytes())
		after, summary := replayed(t, o)
		if summary.CutOff || summary.Packets != 19 {
			t.Errorf("%s: %d packets, cut off %t; want 19, false", what, summary.Packets, summary.CutOff)
		}
		want(t, held(after), held(before)...)
		o.Path = fileOf(t, packed.Bytes()[:packed.Len()-30])
		if _, summary := replayed(t, o); !summary.CutOff || summary.Packets == 0 {
			t.Errorf("%s cut within what is packed: %d packets, cut off %t", what, summary.Packets, summary.CutOff)
		}
	}
}

// What is no capture is named for what it is, and a pipe is not waited for.
func TestNotACapture(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cooked := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 113, 0, 0, 0}
	for path, want := range map[string]string{
		pipe:                                  "not a regular file",
		t.TempDir():                           "not a regular file",
		fileOf(t, nil):                        "too short",
		fileOf(t, []byte("a shopping list")):  "neither pcap nor pcapng",
		fileOf(t, []byte("\x28\xb5\x2f\xfd")): "zstd -d",
		fileOf(t, []byte("snoop\x00\x00")):    "editcap -F pcap",
		fileOf(t, cooked):                     `Linux SLL (link type 113), want Ethernet`,
	} {
		c, err := openCapture(path)
		if err == nil {
			c.close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
