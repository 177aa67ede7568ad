package radius

import (
	"reflect"
	"testing"
)

func TestAddressesMerge(t *testing.T) {
	const v4, other, pd, pd2, link, link2 = "100.64.0.1/32", "100.64.0.2/32", "2001:db8:0:100::/56", "2001:db8:0:200::/56", "2001:db8:f:1::/64", "2001:db8:f:2::/64"
	full := Addresses{IPv4: prefixes(v4), IPv6Prefix: prefixes(link), IPv6Delegated: prefixes(pd)}
	restored := Addresses{IPv4: prefixes(v4), Unsorted: prefixes(link, pd)}
	tests := []struct {
		name       string
		have, told Addresses
		updated    []string // what is held if told is newer
		filled     []string // and if it is older
	}{
		{"nothing told", full, Addresses{}, []string{v4, link, pd}, []string{v4, link, pd}},
		{"nothing had", Addresses{}, full, []string{v4, link, pd}, []string{v4, link, pd}},
		{"another IPv4 address", full, Addresses{IPv4: prefixes(other)}, []string{other, link, pd}, []string{v4, link, pd}},
		{"another delegated prefix", full, Addresses{IPv6Delegated: prefixes(pd2)}, []string{v4, link, pd2}, []string{v4, link, pd}},
		{"restored, link prefix told again", restored, Addresses{IPv6Prefix: prefixes(link)}, []string{v4, link, pd}, []string{v4, link, pd}},
		{"restored, link prefix changed", restored, Addresses{IPv6Prefix: prefixes(link2)}, []string{v4, link2, pd}, []string{v4, link, pd}},
		{"restored, delegated prefix changed", restored, Addresses{IPv6Delegated: prefixes(pd2)}, []string{v4, pd2, link}, []string{v4, link, pd}},
		{"restored, IPv4 changed", restored, Addresses{IPv4: prefixes(other)}, []string{other, link, pd}, []string{v4, link, pd}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			have, told := test.have.prefixes(), test.told.prefixes()
			if got := test.have.updated(test.told).prefixes(); !reflect.DeepEqual(got, prefixes(test.updated...)) {
				t.Errorf("updated: %v, want %v", got, test.updated)
			}
			if got := test.have.filled(test.told).prefixes(); !reflect.DeepEqual(got, prefixes(test.filled...)) {
				t.Errorf("filled: %v, want %v", got, test.filled)
			}
			if !reflect.DeepEqual(have, test.have.prefixes()) || !reflect.DeepEqual(told, test.told.prefixes()) {
				t.Error("an operand was changed")
			}
		})
	}
}
