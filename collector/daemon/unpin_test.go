package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"griffier/collector/config"
)

// TestUnpin: a collector comes back with more slots than are pinned. What the old
// counters held when it ended, and what came until they were read, is in the store,
// and what the new ones count is not mixed up with it.
func TestUnpin(t *testing.T) {
	s := newSetup(t)
	anna4 := s.path("100.64.0.11")
	truth := traffic{}
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	anna4.exchange(t, truth, 300)
	s.readings(1)
	anna4.exchange(t, truth, 50) // nowhere but in the kernel
	c.kill()
	anna4.exchange(t, truth, 70) // nobody looks

	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "max_slots: 64", "max_slots: 128", 1)
	if err := os.WriteFile(s.config, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := config.Read(s.config)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for range 2 { // the second finds nothing
		if err := Unpin(t.Context(), read, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.pins); !os.IsNotExist(err) {
		t.Errorf("pins are left: %v", err)
	}
	c = s.start()
	anna4.exchange(t, truth, 40)
	c.stop()
	if have := s.usage("anna"); fmt.Sprint(have) != fmt.Sprint(truth) {
		t.Errorf("anna moved %v, the store says %v", truth, have)
	}

	read.PinDir = ""
	if err := Unpin(t.Context(), read, o); err == nil {
		t.Error("Unpin without a pin directory = nil")
	}
}
