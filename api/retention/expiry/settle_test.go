package expiry

import (
	"context"
	"testing"
	"time"
)

// TestAProofWaitsForTheDropOfAShorterPolicy: what a shortening made due is not
// overdue while the dropper has not looked. Nothing else makes a proof drop.
func TestAProofWaitsForTheDropOfAShorterPolicy(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P30D")
	h.put(t, used(1, day(-20)), used(2, day(0)))
	d, v := h.dropper(), h.verifier()
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.Settle = d.Settle
	h.policy(t, "P7D")
	if p, _ := prove(t, v, Options{}); p.Verdict != Fail || h.count(t, "traffic.usage_bucket") != 2 {
		t.Errorf("nobody told the dropper: %s, %d rows on disk; want FAIL and both", p.Verdict, h.count(t, "traffic.usage_bucket"))
	}
	d.PolicyChanged()
	p, _ := prove(t, v, Options{})
	wantFailed(t, p)
	if c := h.record.Certificates("", 10); len(c) != 1 || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("%d certificates, %d rows on disk; want one of each", len(c), h.count(t, "traffic.usage_bucket"))
	}
	// That was the one look: what is there now waits for the dropper's next.
	h.put(t, used(3, day(-20)))
	if p, _ := prove(t, v, Options{}); p.Verdict != Fail || h.count(t, "traffic.usage_bucket") != 2 {
		t.Errorf("without another change: %s, %d rows on disk; want FAIL and both", p.Verdict, h.count(t, "traffic.usage_bucket"))
	}
	// A dropper that cannot look keeps no proof from being made.
	d.PolicyChanged()
	h.book.Close()
	if err := d.Settle(t.Context()); err == nil {
		t.Error("settled without a ledger")
	}
	h.open(t)
	d.Book, v.Book, d.Record, v.Record = h.book, h.book, h.record, h.record
	p, _ = prove(t, v, Options{})
	wantFailed(t, p)
}

// TestAShorterPolicyIsCarriedOutAtOnce does not wait for a minute.
func TestAShorterPolicyIsCarriedOutAtOnce(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P30D")
	h.put(t, used(1, day(-20)))
	d := h.dropper()
	ctx, cancel := context.WithCancel(t.Context())
	began, done := time.Now(), make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	defer func() { cancel(); <-done }()
	if err := d.Settle(ctx); err != nil || h.count(t, "traffic.usage_bucket") != 1 {
		t.Fatalf("the first look: %v, %d rows on disk", err, h.count(t, "traffic.usage_bucket"))
	}
	h.policy(t, "P7D")
	d.PolicyChanged()
	for until := began.Add(DropInterval - 5*time.Second); len(h.record.Certificates("", 1)) == 0 && time.Now().Before(until); {
		time.Sleep(20 * time.Millisecond)
	}
	if len(h.record.Certificates("", 1)) != 1 || h.count(t, "traffic.usage_bucket") != 0 {
		t.Errorf("%d rows on disk, want none", h.count(t, "traffic.usage_bucket"))
	}
}
