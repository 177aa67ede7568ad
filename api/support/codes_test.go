package support

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is where codes are issued and redeemed: a real ledger whose clock the
// test sets.
type counter struct {
	*Codes
	keys *keystore.Store
	cfg  ledger.Config
	log  *ledger.Log

	mu sync.Mutex
	at time.Time
}

func (c *counter) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *counter) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/support")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{keys: keys, at: time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)}
	c.cfg = ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: keys,
		Now: c.now, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}
	c.open(t)
	t.Cleanup(func() { c.log.Close() })
	return c
}

// open opens the ledger, again after a close: the codes are then its fold only.
func (c *counter) open(t *testing.T) {
	t.Helper()
	c.Codes = NewCodes(bytes.Repeat([]byte{3}, 32))
	c.cfg.Folds = []ledger.Fold{c.Codes}
	var err error
	if c.log, err = ledger.Open(context.Background(), c.cfg); err != nil {
		t.Fatal(err)
	}
	c.Attach(c.log, c.keys, c.now)
}

func (c *counter) restart(t *testing.T) {
	t.Helper()
	if err := c.log.Close(); err != nil {
		t.Fatal(err)
	}
	c.open(t)
}

func (c *counter) issue(t *testing.T, line string) string {
	t.Helper()
	code, expires, err := c.Issue(t.Context(), customer, line)
	if err != nil {
		t.Fatal(err)
	}
	if !expires.Equal(c.now().Add(24*time.Hour)) || !regexp.MustCompile(`^[0-9]{8}$`).MatchString(code) {
		t.Errorf("code %q until %v, want 8 digits for a day", code, expires)
	}
	return code
}

func (c *counter) want(t *testing.T, what string, agent auth.Caller, ticket, code, line string, why reason.Reason) {
	t.Helper()
	got, err := c.Redeem(t.Context(), agent, ticket, code)
	if got != line || reason.Of(err) != why {
		t.Errorf("%s: line %q, %v; want %q, %q", what, got, err, line, why)
	}
}

// wrong is a code other than code.
func wrong(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

var (
	customer = auth.Caller{Subject: "iss#anna", Actor: strings.Repeat("a", 32)}
	sam      = auth.Caller{Subject: "iss#sam", Actor: strings.Repeat("b", 32)}
	tim      = auth.Caller{Subject: "iss#tim", Actor: strings.Repeat("c", 32)}
)

func TestACodeOpensItsLineForADay(t *testing.T) {
	c := newCounter(t)
	code := c.issue(t, "L-1")
	c.want(t, "first use", sam, "T-1", code, "L-1", "")
	c.want(t, "again", sam, "T-1", code, "L-1", "")
	c.want(t, "a colleague, the same ticket", tim, "T-1", code, "L-1", "")
	c.want(t, "another ticket", tim, "T-2", code, "", reason.CodeInvalid)
	c.wait(CodeLife - time.Millisecond) // into the next month, too
	c.want(t, "the last moment", sam, "T-1", code, "L-1", "")
	c.wait(time.Millisecond)
	c.want(t, "a day later", sam, "T-1", code, "", reason.CodeInvalid)
	// The clear part says neither line, ticket, code nor who.
	entries, err := c.log.Read(t.Context(), 0, 100)
	if err != nil || len(entries) != 7 {
		t.Fatalf("%d entries, %v; want 7", len(entries), err)
	}
	for _, e := range entries {
		clear, err := json.Marshal(e.Header) // a sealed body says anybody's name by chance
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"L-1", "T-1", code, "anna", "sam"} {
			if strings.Contains(string(clear), secret) {
				t.Errorf("entry %d: %q is in the clear", e.Index, secret)
			}
		}
	}
}

func TestFailuresAreBoundedByTheHour(t *testing.T) {
	c := newCounter(t)
	code := c.issue(t, "L-1")
	for range maxFailures {
		c.want(t, "wrong code", sam, "T-1", wrong(code), "", reason.CodeInvalid)
		c.wait(time.Minute)
	}
	c.want(t, "right code after five wrong", sam, "T-1", code, "", reason.RateLimited)
	c.want(t, "a colleague", tim, "T-1", code, "L-1", "")
	c.restart(t)
	c.want(t, "after a restart", sam, "T-1", code, "", reason.RateLimited)
	c.wait(time.Hour - maxFailures*time.Minute - time.Millisecond)
	c.want(t, "just within the hour", sam, "T-1", code, "", reason.RateLimited)
	c.wait(time.Millisecond)
	c.want(t, "an hour after the first", sam, "T-1", code, "L-1", "")
	c.want(t, "a sixth wrong", sam, "T-1", wrong(code), "", reason.CodeInvalid)
	c.want(t, "five within the hour again", sam, "T-1", code, "", reason.RateLimited)
}

func TestStateIsTheFold(t *testing.T) {
	c := newCounter(t)
	expired := c.issue(t, "L-0")
	c.wait(time.Hour)
	bound, fresh := c.issue(t, "L-1"), c.issue(t, "L-2")
	c.want(t, "bind", sam, "T-1", bound, "L-1", "")
	c.want(t, "fail", tim, "T-1", wrong(bound), "", reason.CodeInvalid)
	c.wait(CodeLife - time.Hour)
	c.issue(t, "L-3") // forgets what expired
	before, failures := maps.Clone(c.live), maps.Clone(c.failures)
	c.restart(t)
	if len(c.live) != len(before) || len(before) != 3 {
		t.Fatalf("%d live codes after the restart, %d before; want 3", len(c.live), len(before))
	}
	for k, v := range before {
		if got := c.live[k]; got == nil || *got != *v {
			t.Errorf("code %s is %+v after the restart, %+v before", k, got, v)
		}
	}
	if len(c.failures) != len(failures) || len(c.failures[tim.Actor]) != 1 || !c.failures[tim.Actor][0].Equal(failures[tim.Actor][0]) {
		t.Errorf("failures %v after the restart, %v before", c.failures, failures)
	}
	c.want(t, "still bound", sam, "T-1", bound, "L-1", "")
	c.want(t, "still bound to its ticket", sam, "T-9", bound, "", reason.CodeInvalid)
	c.want(t, "still fresh", sam, "T-2", fresh, "L-2", "")
	c.want(t, "still expired", sam, "T-3", expired, "", reason.CodeInvalid)
}

func TestCodesOfOneCustomerAreBounded(t *testing.T) {
	c := newCounter(t)
	for range maxLive {
		c.issue(t, "L-1")
	}
	if _, _, err := c.Issue(t.Context(), customer, "L-1"); reason.Of(err) != reason.RateLimited {
		t.Errorf("one more: %v, want RATE_LIMITED", err)
	}
	other := customer
	other.Actor = strings.Repeat("d", 32)
	if _, _, err := c.Issue(t.Context(), other, "L-2"); err != nil {
		t.Errorf("another customer: %v", err)
	}
	c.restart(t)
	if _, _, err := c.Issue(t.Context(), customer, "L-1"); reason.Of(err) != reason.RateLimited {
		t.Errorf("after a restart: %v, want RATE_LIMITED", err)
	}
	c.wait(CodeLife)
	c.issue(t, "L-1")
}

// TestRacingTicketsBindOnce: of several tickets that use a fresh code at the
// same moment, one gets it.
func TestRacingTicketsBindOnce(t *testing.T) {
	c := newCounter(t)
	code := c.issue(t, "L-1")
	won := make(chan string, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			agent := auth.Caller{Subject: "s", Actor: strings.Repeat(string("0123456789"[i]), 32)}
			ticket := "T-" + string("0123456789"[i])
			if line, err := c.Redeem(context.Background(), agent, ticket, code); err == nil && line == "L-1" {
				won <- ticket
			} else if reason.Of(err) != reason.CodeInvalid {
				t.Errorf("%s: %v", ticket, err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d tickets got the code, want one", len(won))
	}
}

func TestWithoutALedgerNoCode(t *testing.T) {
	c := newCounter(t)
	code := c.issue(t, "L-1")
	c.log.Close()
	c.want(t, "redeem", sam, "T-1", code, "", reason.LedgerUnavailable)
	if _, _, err := c.Issue(t.Context(), customer, "L-1"); reason.Of(err) != reason.LedgerUnavailable {
		t.Errorf("issue: %v, want LEDGER_UNAVAILABLE", err)
	}
}

// TestADestroyedMonthOpensNothing: with the month's key goes which line it was.
func TestADestroyedMonthOpensNothing(t *testing.T) {
	c := newCounter(t)
	code := c.issue(t, "L-1")
	c.wait(13 * time.Hour) // April: redeeming writes under another key
	if err := c.keys.Shred("class:support:2026-03"); err != nil {
		t.Fatal(err)
	}
	c.want(t, "after the destruction", sam, "T-1", code, "", reason.CodeInvalid)
}

func TestDamagedEntriesStopTheFold(t *testing.T) {
	for _, kind := range []string{kindIssued, kindRedeemed} {
		c := NewCodes(nil)
		if err := c.Apply(ledger.Entry{Header: ledger.Header{Kind: kind, Facts: []byte(`{"code_hmac":5}`)}}); err == nil {
			t.Errorf("%s: applied", kind)
		}
	}
	if err := NewCodes(nil).Apply(ledger.Entry{Header: ledger.Header{Kind: kindRedeemed, Facts: []byte(`{"code_hmac":"x"}`)}}); err != nil {
		t.Errorf("redemption of what is forgotten: %v", err)
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77/32": "192.0.2.0/24", "192.0.0.0/16": "192.0.0.0/16", "2001:db8:1:2::5/128": "2001:db8:1::/48",
		"2001:db8::/32": "2001:db8::/32", "": "masked", "jan": "masked", "192.0.2.1": "masked",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}
