// Package support lets support staff look at one line for one ticket. What
// opens the line is a code that the customer made and read out; what closes it
// is time. Nothing here shows who the customer is.
package support

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/google/uuid"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of ledger entry that the codes' state is a fold over.
const (
	kindIssued   = "support.code_issued"
	kindRedeemed = "support.code_redeemed" // first use: bound to a ticket
	kindFailed   = "support.code_failed"
)

// CodeLife is how long a code opens its line.
const CodeLife = 24 * time.Hour

// maxLive is how many codes of one customer are good at one time.
const maxLive = 10

// An agent may fail this often in an hour before even a right code is refused.
const (
	maxFailures   = 5
	failureWindow = time.Hour
)

// book is the part of the ledger that codes need ([ledger.Log]).
type book interface {
	Decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error)
	Read(ctx context.Context, start uint64, n int) ([]ledger.Entry, error)
	Body(e ledger.Entry) ([]byte, error)
}

// keys makes class keys ([keystore.Store]).
type keys interface{ Ensure(id string) error }

// Codes issues and redeems support codes. Its state is a fold over the ledger;
// it is safe for concurrent use.
type Codes struct {
	book book
	keys keys
	now  func() time.Time
	key  []byte

	mu       sync.Mutex
	live     map[string]*code // by HMAC of the code
	failures map[string][]time.Time
}

type code struct {
	index      uint64 // of the entry whose body names the line
	issuer     string // the customer's pseudonym
	expiresAt  time.Time
	ticketHMAC string // empty until first use
}

// NewCodes returns codes keyed by key, which makes 8 digits unguessable from
// the ledger's clear headers. Attach must follow before use.
func NewCodes(key []byte) *Codes {
	return &Codes{key: key, live: map[string]*code{}, failures: map[string][]time.Time{}}
}

// Attach gives the codes the ledger that they are a fold of, once it is open.
func (c *Codes) Attach(b book, k keys, now func() time.Time) { c.book, c.keys, c.now = b, k, now }

type issuedFacts struct {
	CodeHMAC  string    `json:"code_hmac"`
	ExpiresAt time.Time `json:"expires_at"`
}

type redeemedFacts struct {
	CodeHMAC   string `json:"code_hmac"`
	TicketHMAC string `json:"ticket_hmac"`
}

type issuedBody struct {
	Subject string `json:"subject"`
	LineID  string `json:"line_id"`
}

type redeemedBody struct {
	Subject string `json:"subject"`
	Ticket  string `json:"ticket"`
}

// Apply implements [ledger.Fold].
func (c *Codes) Apply(e ledger.Entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Header.Kind {
	case kindIssued:
		var f issuedFacts
		if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
			return fmt.Errorf("entry %d: %s: %w", e.Index, kindIssued, err)
		}
		c.forget(e.Header.At)
		c.live[f.CodeHMAC] = &code{index: e.Index, issuer: e.Header.Actor, expiresAt: f.ExpiresAt}
	case kindRedeemed:
		var f redeemedFacts
		if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
			return fmt.Errorf("entry %d: %s: %w", e.Index, kindRedeemed, err)
		}
		if live := c.live[f.CodeHMAC]; live != nil && live.ticketHMAC == "" {
			live.ticketHMAC = f.TicketHMAC
		}
	case kindFailed:
		c.failures[e.Header.Actor] = append(c.recent(e.Header.Actor, e.Header.At), e.Header.At)
	}
	return nil
}

// forget drops expired codes; mu is held.
func (c *Codes) forget(now time.Time) {
	for k, v := range c.live {
		if !now.Before(v.expiresAt) {
			delete(c.live, k)
		}
	}
}

// issued counts a customer's codes; mu is held.
func (c *Codes) issued(actor string) (n int) {
	for _, v := range c.live {
		if v.issuer == actor {
			n++
		}
	}
	return n
}

// recent returns an agent's failures of the last hour; mu is held.
func (c *Codes) recent(actor string, now time.Time) []time.Time {
	var out []time.Time
	for _, t := range c.failures[actor] {
		if now.Sub(t) < failureWindow {
			out = append(out, t)
		}
	}
	return out
}

// Issue makes a code for a line that the caller was found to own.
func (c *Codes) Issue(ctx context.Context, caller auth.Caller, lineID string) (string, time.Time, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("support code: %w", err)
	}
	text := fmt.Sprintf("%08d", n)
	var expires time.Time
	_, err = c.decide(ctx, func(now time.Time) (ledger.Draft, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(now)
		if c.live[c.hmac("code", text)] != nil {
			return ledger.Draft{}, reason.New(reason.RateLimited, "Try again.") // the same 8 digits are in use
		}
		if c.issued(caller.Actor) >= maxLive {
			return ledger.Draft{}, reason.New(reason.RateLimited, "Ten of your codes are still good; use one of those, or wait a day.")
		}
		expires = now.Add(CodeLife)
		return ledger.Draft{
			Kind: kindIssued, Actor: caller.Actor, Role: "customer",
			Facts: issuedFacts{c.hmac("code", text), expires}, Body: issuedBody{caller.Subject, lineID},
		}, nil
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return text, expires, nil
}

// Redeem returns the line that a code opens. The first ticket to use a code
// keeps it. A wrong, expired or otherwise bound code is CODE_INVALID, and is
// counted in the ledger against the agent.
func (c *Codes) Redeem(ctx context.Context, caller auth.Caller, ticket, text string) (lineID string, err error) {
	var index uint64
	var ok bool
	key := c.hmac("code", text)
	look := func(now time.Time) (*code, bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.recent(caller.Actor, now)) >= maxFailures {
			return nil, false, reason.New(reason.RateLimited, "Too many wrong codes; wait an hour.")
		}
		found := c.live[key]
		if found == nil || !now.Before(found.expiresAt) {
			return nil, false, nil
		}
		mine := found.ticketHMAC == "" || subtle.ConstantTimeCompare([]byte(found.ticketHMAC), []byte(c.hmac("ticket", ticket))) == 1
		return found, mine, nil
	}
	_, err = c.decide(ctx, func(now time.Time) (ledger.Draft, error) {
		found, mine, err := look(now)
		if err != nil {
			return ledger.Draft{}, err
		}
		d := ledger.Draft{Kind: kindFailed, Actor: caller.Actor, Role: "support", Reason: string(reason.CodeInvalid),
			Body: redeemedBody{caller.Subject, ticket}}
		if found != nil && mine {
			index, ok = found.index, true
			d.Kind, d.Reason = kindRedeemed, ""
			d.Facts = redeemedFacts{key, c.hmac("ticket", ticket)}
		}
		return d, nil
	})
	if err != nil {
		return "", err
	}
	if !ok {
		return "", reason.New(reason.CodeInvalid, "")
	}
	return c.lineOf(ctx, index)
}

func (c *Codes) lineOf(ctx context.Context, index uint64) (string, error) {
	entries, err := c.book.Read(ctx, index, 1)
	if err != nil || len(entries) != 1 {
		return "", reason.Wrap(reason.LedgerUnavailable, err)
	}
	plain, err := c.book.Body(entries[0])
	if err != nil {
		return "", reason.Wrap(reason.CodeInvalid, err) // its month's key was destroyed
	}
	var b issuedBody
	if err := json.Unmarshal(plain, &b); err != nil {
		return "", fmt.Errorf("support code: entry %d: %w", index, err)
	}
	return b.LineID, nil
}

// decide seals the entry under the key of this month, which it makes first: a
// decision itself must not touch the disk.
func (c *Codes) decide(ctx context.Context, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error) {
	key := "class:support:" + c.now().UTC().Format("2006-01")
	if err := c.keys.Ensure(key); err != nil {
		return ledger.Entry{}, reason.Wrap(reason.LedgerUnavailable, err)
	}
	e, err := c.book.Decide(ctx, uuid.NewString(), func(now time.Time) (ledger.Draft, error) {
		d, err := fn(now)
		d.KeyID = key
		return d, err
	})
	var refused *reason.Error
	switch {
	case err == nil, errors.As(err, &refused):
		return e, err
	case errors.Is(err, ledger.ErrUnknownOutcome):
		return e, reason.Wrap(reason.UnknownOutcome, err)
	case errors.Is(err, ledger.ErrClock):
		return e, reason.Wrap(reason.ClockUntrusted, err)
	}
	return e, reason.Wrap(reason.LedgerUnavailable, err)
}

func (c *Codes) hmac(domain, value string) string {
	mac := hmac.New(sha256.New, c.key)
	fmt.Fprintf(mac, "support-%s:%s", domain, value)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
