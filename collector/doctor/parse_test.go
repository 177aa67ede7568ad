package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOffloadParsers(t *testing.T) {
	for name, want := range map[string]bool{"ethtool-off.txt": false, "ethtool-on.txt": true, "ethtool-requested.txt": false} {
		if have := featureOn(fixture(t, name), "hw-tc-offload"); have != want {
			t.Errorf("%s: hw-tc-offload on = %t, want %t", name, have, want)
		}
	}
	if have, want := offloadedDevices(fixture(t, "nft-flowtables.txt")), []string{"eth2", "eth3.100", "eth9"}; !slices.Equal(have, want) {
		t.Errorf("offloaded devices %v, want %v", have, want)
	}
	for text, want := range map[string]string{
		"flowtable f {\n hook ingress priority 0; devices = { a, b }; flags offload;\n}": "a b",
		"flowtable f {\n devices = { a }\n flags counter,offload\n}":                     "a",
		"flowtable f {\n devices = { a }\n counter\n}":                                   "",
		"chain c {\n type filter hook ingress device a priority 0; flags offload;\n}":    "",
		"flowtable f {\n devices = { a }\n}\nchain c {\n flags offload\n}":               "",
	} {
		if have := strings.Join(offloadedDevices([]byte(text)), " "); have != want {
			t.Errorf("%q: devices %q, want %q", text, have, want)
		}
	}
	if inHardware(fixture(t, "tc-software.txt")) || !inHardware(fixture(t, "tc-hardware.txt")) {
		t.Error("tc filters in hardware and software are mixed up")
	}
}

func FuzzOffloadParsers(f *testing.F) {
	for _, name := range []string{"nft-flowtables.txt", "ethtool-on.txt", "tc-hardware.txt"} {
		f.Add(fixture(f, name))
	}
	f.Add([]byte("flowtable {\ndevices = {{}}; flags offload\n}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		devices := offloadedDevices(text)
		if len(devices) > 0 && !strings.Contains(string(text), "offload") {
			t.Errorf("devices %v without the word", devices)
		}
		for _, d := range devices {
			if !strings.Contains(string(text), d) {
				t.Errorf("device %q is not in the text", d)
			}
		}
		if featureOn(text, "hw-tc-offload") && !strings.Contains(string(text), "on") {
			t.Error("on without the word")
		}
		inHardware(text)
		missingCapabilities(text)
	})
}

func TestMissingCapabilities(t *testing.T) {
	for text, want := range map[string]string{
		"Name:\tx\nCapEff:\t000001ffffffffff\n": "",
		"CapEff:\t0000000000000000\n":           "CAP_BPF CAP_PERFMON CAP_NET_ADMIN",
		"CapEff:\t000000c000001000\n":           "",              // exactly what the unit grants
		"CapEff:\t0000000000201000\n":           "",              // CAP_SYS_ADMIN and CAP_NET_ADMIN
		"CapEff:\t000000c000000000\n":           "CAP_NET_ADMIN", // the other two
		"CapEff:\t0000000000200000\n":           "CAP_NET_ADMIN",
	} {
		missing, err := missingCapabilities([]byte(text))
		if have := strings.Join(missing, " "); err != nil || have != want {
			t.Errorf("%q: missing %q, %v, want %q", text, have, err, want)
		}
	}
	for _, text := range []string{"", "CapEff: x\n"} {
		if _, err := missingCapabilities([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestJudgeClock(t *testing.T) {
	for _, x := range []struct {
		state  int
		status int32
		offset time.Duration
		want   Status
	}{
		{0, unix.STA_PLL, time.Millisecond, Pass},
		{0, unix.STA_PLL, -3 * time.Second, Fail},
		{5, 0, 0, Warn},
		{0, unix.STA_UNSYNC, 0, Warn},
	} {
		if f := judgeClock(x.state, x.status, x.offset, time.Second); f.Status != x.want {
			t.Errorf("judgeClock(%d, %#x, %v) = %s, want %s", x.state, x.status, x.offset, f.Status, x.want)
		}
	}
}
