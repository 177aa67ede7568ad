package radius

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
)

const capture = "testdata/radius_acct_start_interim_stop_gigawords.pcap"

// captureSecret is the secret that the capture was made with.
var captureSecret = []byte("testing123")

type captured struct {
	at      time.Time
	source  netip.Addr
	payload []byte
	request bool
}

// readCapture returns the RADIUS datagrams of the capture.
func readCapture(t testing.TB) []captured {
	t.Helper()
	file, err := os.Open(capture)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []captured
	source := gopacket.NewPacketSource(reader, reader.LinkType())
	for packet := range source.Packets() {
		udp, ok := packet.TransportLayer().(*layers.UDP)
		if !ok {
			t.Fatal("capture holds a packet that is not UDP")
		}
		ip, _ := netip.AddrFromSlice(packet.NetworkLayer().NetworkFlow().Src().Raw())
		all = append(all, captured{packet.Metadata().Timestamp, ip, udp.Payload, udp.DstPort == 1813})
	}
	if len(all) != 28 {
		t.Fatalf("capture holds %d datagrams, want 28", len(all))
	}
	return all
}

// encode makes a signed Accounting-Request.
func encode(t testing.TB, secret []byte, status Status, build func(*layeh.Packet)) []byte {
	t.Helper()
	p := layeh.New(layeh.CodeAccountingRequest, secret)
	rfc2866.AcctStatusType_Set(p, rfc2866.AcctStatusType(status))
	if build != nil {
		build(p)
	}
	datagram, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return datagram
}

// session42 fills in what every request about a session has.
func session42(p *layeh.Packet) {
	rfc2866.AcctSessionID_SetString(p, "42")
	rfc2865.UserName_SetString(p, "alice@isp")
	rfc2865.NASIdentifier_SetString(p, "bng1")
}

func at(seconds int) time.Time { return time.Date(2026, 11, 20, 10, 0, seconds, 0, time.UTC) }

func eventAt(p *layeh.Packet, seconds int) { rfc2869.EventTimestamp_Set(p, at(seconds)) }

func prefixes(s ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}
