package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The sizes and the hook of the configuration are what the kernel is given, and
// it counts with them.
func TestHookAndSizesAreThoseConfigured(t *testing.T) {
	s := newSetup(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, append(text, "hook: clsact\ncounter_stripes: 1\nmax_keys: 64\nmax_long_keys: 8\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	p4, truth := s.path("100.64.0.11"), traffic{}
	c := s.start()
	s.session("Start", "anna", "1", "100.64.0.11", "2001:db8:0:1100::/56")
	p4.exchange(t, truth, 100)
	filters, err := exec.CommandContext(t.Context(), "nsenter", "--net=/run/netns/"+s.router, "tc", "filter", "show", "dev", accessLink, "ingress").CombinedOutput()
	if err != nil || !strings.Contains(string(filters), "bpf") {
		t.Errorf("nothing is attached by clsact: %v\n%s", err, filters)
	}
	c.stop()
	if have := s.usage("anna"); fmt.Sprint(have) != fmt.Sprint(truth) {
		t.Errorf("anna moved %v, the store says %v", truth, have)
	}
}
