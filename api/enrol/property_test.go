package enrol

import (
	"crypto/x509"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	griffierv1 "griffier/proto/griffier/v1"
)

// TestAnyHistory makes tokens, enrols, renews with any certificate there ever was,
// revokes and waits, in any order. After each step at most two certificates of a
// collector can be renewed: the newest and the one before it; none that is expired
// or revoked; and a restart changes nothing.
func TestAnyHistory(t *testing.T) {
	d := newDesk(t)
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		id := fmt.Sprintf("edge%d", round)
		d.wait(issuesInterval) // the bound by the hour is another test's
		certs, gone := []*x509.Certificate{}, map[string]bool{}
		tokens := []string{}
		for range rapid.IntRange(1, 9).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"token", "enrol", "renew", "renew", "revoke", "wait"}).Draw(r, "step") {
			case "token":
				if len(tokens) < maxOpenTokens {
					tokens = append(tokens, d.token(id))
				}
			case "enrol":
				if len(tokens) == 0 {
					continue
				}
				token := rapid.SampledFrom(tokens).Draw(r, "token")
				if cert, err := d.enrol(token, request(r)); err == nil {
					certs = append(certs, cert)
				}
				d.wait(triesEvery)
			case "renew":
				if len(certs) == 0 {
					continue
				}
				with := rapid.SampledFrom(certs).Draw(r, "with")
				if cert, err := d.renew(with, request(r)); err == nil {
					if gone[with.SerialNumber.Text(16)] || !d.now().Before(with.NotAfter) {
						r.Fatalf("a certificate that has ended was renewed")
					}
					certs = append(certs, cert)
				}
			case "revoke":
				if _, err := d.RevokeCollector(d.engineer(), &griffierv1.RevokeCollectorRequest{CollectorId: id}); err == nil {
					for _, c := range certs {
						gone[c.SerialNumber.Text(16)] = true
					}
				}
			case "wait":
				by := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, life / 2}).Draw(r, "by")
				if d.now().Add(by + 2*life).Before(d.ca.Certificate().NotAfter) { // all rounds have one CA
					d.wait(by)
				}
			}
			renewable := 0
			for _, c := range certs {
				serial := c.SerialNumber.Text(16)
				if d.State.mayRenew(id, serial, d.now()) != nil {
					continue
				}
				renewable++
				if gone[serial] || !d.now().Before(c.NotAfter) || !slices.Contains(certs[max(0, len(certs)-1):], c) && !parent(d, id, serial) {
					r.Fatalf("%s can be renewed", serial)
				}
			}
			if renewable > 2 {
				r.Fatalf("%d certificates can be renewed", renewable)
			}
		}
	})
	collectors, tokens := d.State.collectors, maps.Clone(d.State.tokens)
	d.restart()
	if !reflect.DeepEqual(collectors, d.State.collectors) || !reflect.DeepEqual(tokens, d.State.tokens) {
		t.Error("the state after a restart is another")
	}
	if len(collectors) < 2 {
		t.Errorf("%d collectors ever enrolled: nothing was tried", len(collectors))
	}
}

// parent tells whether the newest certificate was issued for this one.
func parent(d *desk, id, serial string) bool {
	c, _ := d.State.collector(id)
	newest, _ := c.Newest()
	return newest.Renews == serial
}
