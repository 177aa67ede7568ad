package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Report is what `griffier demo -once -o json` prints. Its fields are stable.
type Report struct {
	Mode        string       `json:"mode"` // live: kernel and namespaces; replay: bundled captures
	Subscribers []Subscriber `json:"subscribers"`
	Answers     []Answer     `json:"answers"`
	Refusals    []Refusal    `json:"refusals"`
	Expiry      Expiry       `json:"expiry"`
	Retention   Retention    `json:"retention"`
	Ledger      Ledger       `json:"ledger"`
	Package     Package      `json:"package"`
	Steps       []Step       `json:"steps"`
}

// Subscriber compares what a line carried with what its customer is shown.
// SentBytes is the senders' own count, in L3 bytes, both directions.
type Subscriber struct {
	Name         string `json:"name"`
	SentBytes    uint64 `json:"sent_bytes"`
	CountedBytes uint64 `json:"counted_bytes"`
}

// Answer is the typed answer to a task.
type Answer struct {
	Task   string `json:"task"`
	Result string `json:"result"`
}

// Refusal is something that must not work, and why it did not.
type Refusal struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// Expiry counts rows before and after their instant of expiry.
type Expiry struct {
	RowsBefore uint64 `json:"rows_before"`
	RowsAfter  uint64 `json:"rows_after"`
}

// Retention is what a shorter period took away at once, and the overseer's proof
// after it.
type Retention struct {
	Class       string `json:"class"`
	RowsPlanned uint64 `json:"rows_planned"` // unreadable at once, told before
	DaysBefore  int    `json:"days_before"`  // with usage, as the customer sees them
	DaysAfter   int    `json:"days_after"`
	Passed      uint32 `json:"passed"` // findings of the proof
	Failed      uint32 `json:"failed"`
	NotChecked  uint32 `json:"not_checked"`
}

// Ledger is its offline verification.
type Ledger struct {
	Size     uint64 `json:"size"`
	Verified bool   `json:"verified"`
}

// Package is the sealed answer and its offline verification.
type Package struct {
	Path     string `json:"path"`
	Verified bool   `json:"verified"`
}

// Step is a part of the story and how long it took.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// teller tells the story as it happens and remembers how long each part took.
type teller struct {
	out   io.Writer // plain words
	steps *[]Step
}

func (t teller) say(format string, args ...any) { fmt.Fprintf(t.out, "   "+format+"\n", args...) }

// step runs one part of the story.
func (t teller) step(name string, f func() error) error {
	fmt.Fprintf(t.out, "\n%d. %s\n", len(*t.steps)+1, name)
	began := time.Now()
	err := f()
	*t.steps = append(*t.steps, Step{name, time.Since(began).Seconds()})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// check returns what in the report is not as it should be.
func (r *Report) check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(len(r.Subscribers) > 0, "no subscriber was seen")
	for _, s := range r.Subscribers {
		want(s.SentBytes > 0 && s.SentBytes == s.CountedBytes, "%s: %d bytes sent, %d counted", s.Name, s.SentBytes, s.CountedBytes)
	}
	want(len(r.Answers) > 0 && r.Answers[0].Result == "MATCH", "answers %v, want MATCH first", r.Answers)
	want(len(r.Refusals) >= 3, "%d refusals, want at least 3", len(r.Refusals))
	want(r.Expiry.RowsBefore > 0 && r.Expiry.RowsAfter == 0, "expiry: %d rows before, %d after", r.Expiry.RowsBefore, r.Expiry.RowsAfter)
	want(r.Retention.RowsPlanned > 0 && r.Retention.DaysBefore > 1 && r.Retention.DaysAfter == r.Retention.DaysBefore-1, "a shorter period: %d rows planned, %d days before, %d after",
		r.Retention.RowsPlanned, r.Retention.DaysBefore, r.Retention.DaysAfter)
	want(r.Retention.Passed > 0 && r.Retention.Failed == 0, "the proof of expiry: %d passed, %d failed", r.Retention.Passed, r.Retention.Failed)
	want(r.Ledger.Size > 0 && r.Ledger.Verified, "the ledger does not verify")
	want(r.Package.Verified, "the package does not verify")
	return errors.Join(errs...)
}

func (r *Report) json() ([]byte, error) { return json.MarshalIndent(r, "", "  ") }
