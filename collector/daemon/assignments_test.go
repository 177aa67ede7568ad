package daemon

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/collector/datapath"
	"griffier/collector/lease"
	"griffier/schema"
)

// TestAddressesOfVPNsHaveNoCounter: one address outside and inside a VPN is two
// lines', and the kernel counts the first one's alone.
func TestAddressesOfVPNsHaveNoCounter(t *testing.T) {
	prefix := netip.MustParsePrefix("100.64.0.10/32")
	const inVPN = 1<<31 | 5
	if !lease.InVPN(inVPN) || lease.InVPN(4094<<16|4094) {
		t.Fatal("scopes of VPNs are not told from those of VLANs")
	}
	got, left := assignments([]binding.Change{
		{Prefix: prefix, AccessRef: schema.AccessRef{1}}, {Prefix: prefix, Scope: inVPN, AccessRef: schema.AccessRef{2}},
		{Prefix: prefix, Scope: 4094<<16 | 4094, AccessRef: schema.AccessRef{3}},
	})
	want := []datapath.Assignment{
		{Key: datapath.Key{Prefix: prefix}, Owner: schema.AccessRef{1}},
		{Key: datapath.Key{Prefix: prefix, Scope: 4094<<16 | 4094}, Owner: schema.AccessRef{3}},
	}
	if left != 1 || !slices.Equal(got, want) {
		t.Errorf("%+v, %d left out", got, left)
	}
	// Nor is it a refusal that is tried again.
	l, _ := testLoop(t, t.TempDir(), 1<<20)
	l.apply(binding.Observation{
		At: time.Now(), Kind: binding.Start, Source: schema.SourceDHCPv4, Certainty: schema.CertaintyObserved, SessionKey: "x",
		Identifier: schema.Identifier{Kind: schema.IdentMAC, Value: "x"}, Prefixes: []netip.Prefix{prefix}, Scope: inVPN, ExpiresAt: time.Now().Add(time.Hour),
	})
	if want, left := assignments(l.binding.Installed()); len(want) != 0 || left != 1 {
		t.Errorf("%+v, %d left out", want, left)
	}
}
