package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf"
)

func TestJudgeClock(t *testing.T) {
	const ok, timeError = 0, 5
	for name, x := range map[string]struct {
		state  int
		status int32
		offset int64
		want   int64
		synced bool
	}{
		"kept in nanoseconds":  {ok, unix.STA_PLL | unix.STA_NANO, -1234567, -1234567, true},
		"kept in microseconds": {ok, unix.STA_PLL, 1234, 1234000, true},
		"not kept":             {timeError, unix.STA_UNSYNC | unix.STA_NANO, 5, 5, false},
		"only the flag":        {ok, unix.STA_UNSYNC, 0, 0, false},
		"only the state":       {timeError, unix.STA_NANO, 0, 0, false},
		"leap second":          {3, unix.STA_PLL | unix.STA_NANO, 7, 7, true}, // TIME_OOP
	} {
		offset, synced := judgeClock(x.state, unix.Timex{Status: x.status, Offset: x.offset})
		if offset != x.want || synced != x.synced {
			t.Errorf("%s: %d ns, synchronised %t; want %d, %t", name, offset, synced, x.want, x.synced)
		}
	}
	c := readClock()
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || c.BootID+"\n" != string(text) {
		t.Errorf("boot %q, the kernel says %q, %v", c.BootID, text, err)
	}
}

// Coverage rows tell when the collector ran, on which boot and by what clock. An
// orderly stop ends a row and the next start declares the time between. A store
// that is away is no gap: what was seen meanwhile comes later.
func TestCoverageOfStopsAndOfAStoreAway(t *testing.T) {
	s := newSetup(t)
	anna := traffic{}
	p := s.path("100.64.0.11")
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	p.exchange(t, anna, 50)
	s.readings(1)
	s.gate.shut()
	p.exchange(t, anna, 50)
	s.readings(2)
	p.exchange(t, anna, 50)
	s.gate.open()
	s.readings(1)
	c.stop()
	time.Sleep(300 * time.Millisecond)
	c = s.start()
	s.readings(1)
	c.stop()

	rows := s.lines(`SELECT concat(state, ' ', cause, ' ', if(started_at = lagInFrame(ended_at, 1, started_at) OVER w, 'follows', 'apart'), ' ',
		if(ended_at > started_at, 'long', 'empty')) FROM traffic.coverage WINDOW w AS (ORDER BY started_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY started_at`)
	var told []string
	for _, r := range rows {
		if len(told) == 0 || told[len(told)-1] != r { // at UTC midnight there are more
			told = append(told, r)
		}
	}
	if got, want := strings.Join(told, "; "), "covered  follows long; gap not_running follows long; covered  follows long"; got != want {
		t.Errorf("coverage is %q, want %q", got, want)
	}
	clock := readClock()
	if n := s.count(fmt.Sprintf("SELECT count() FROM traffic.coverage WHERE boot_id != '%s' OR clock_synced != %t", clock.BootID, clock.Synced)); n != 0 {
		t.Errorf("%d rows are of another boot or clock than %+v", n, clock)
	}
	if have := s.usage("anna"); fmt.Sprint(have) != fmt.Sprint(anna) {
		t.Errorf("anna moved %v, the store says %v", anna, have)
	}
}

// After a reboot of the host there are no counters and there is another boot id.
// The new counters start at zero, and a line's total neither drops nor jumps.
func TestHostReboot(t *testing.T) {
	s := newSetup(t)
	anna := traffic{}
	p4, p6 := s.path("100.64.0.11"), s.path("2001:db8:0:1100::11")
	total := func() (n uint64) {
		t.Helper()
		return s.count("SELECT sum(bytes) FROM traffic.usage")
	}
	sent := func() (n uint64) {
		for _, m := range anna {
			n += m.bytes
		}
		return n
	}
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	p4.exchange(t, anna, 400)
	p6.exchange(t, anna, 300)
	before := sent()
	eventually(t, "all that was sent in the store", func() bool { return total() == before })
	c.kill()
	if err := bpf.RemovePins(s.pins); err != nil { // programs and counters go with the boot
		t.Fatal(err)
	}
	const boot = "5e0b7a52-5c3e-4d0e-8f5a-0a6c1f9f6f11"
	file := filepath.Join(t.TempDir(), "boot_id")
	if err := os.WriteFile(file, []byte(boot+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = s.startBy("unshare", "--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, file)
	s.readings(1) // of counters that are at zero
	if n := total(); n != before {
		t.Errorf("%d bytes after the reboot, %d before, and nothing was sent", n, before)
	}
	p4.exchange(t, anna, 30)
	p6.exchange(t, anna, 20)
	c.stop()
	if have := s.usage("anna"); fmt.Sprint(have) != fmt.Sprint(anna) {
		t.Errorf("anna moved %v, the store says %v", anna, have)
	}
	if n := s.count("SELECT uniqExact(counter_id) FROM traffic.usage"); n != 2 {
		t.Errorf("%d counters, want one of each boot", n)
	}
	if n := s.count(`SELECT count() FROM (SELECT sum(bytes) AS s, max(cumulative_bytes) AS m FROM traffic.usage
		GROUP BY counter_id, direction, ip_version HAVING s != m)`); n != 0 {
		t.Errorf("the rows of %d counters do not add up to their last value", n)
	}
	boots := slices.Compact(s.lines("SELECT concat(boot_id, ' ', state, ' ', cause) FROM traffic.coverage ORDER BY started_at, state DESC")) // at UTC midnight there are more
	want := fmt.Sprintf("[%s covered  %s gap not_running %s covered ]", bootID(), boot, boot)
	if fmt.Sprint(boots) != want {
		t.Errorf("coverage is of %v, want %v", boots, want)
	}
}
