package warrantrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// Book is the part of the ledger that the legal services use ([ledger.Log]).
type Book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
	Decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error)
	Read(ctx context.Context, start uint64, n int) ([]ledger.Entry, error)
	Body(e ledger.Entry) ([]byte, error)
}

// Decide asks the decider for an act and turns the ledger's errors into reasons.
// A refusal comes back as the [reason.Error] that act returned.
func Decide(ctx context.Context, book Book, requestID string, act func(now time.Time) (ledger.Draft, *reason.Error)) (ledger.Entry, error) {
	e, err := book.Decide(ctx, requestID, func(now time.Time) (ledger.Draft, error) {
		d, refusal := act(now)
		if refusal != nil {
			return ledger.Draft{}, refusal
		}
		return d, nil
	})
	return e, LedgerError(err)
}

// LedgerError turns an error of the ledger into a reason. What has one already
// keeps it.
func LedgerError(err error) error {
	switch {
	case err == nil:
		return nil
	case reason.From(err) != nil:
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, ledger.ErrUnknownOutcome):
		return reason.Wrap(reason.UnknownOutcome, err)
	case errors.Is(err, ledger.ErrClock):
		return reason.Wrap(reason.ClockUntrusted, err)
	case errors.Is(err, ledger.ErrUnavailable):
		return reason.Wrap(reason.LedgerUnavailable, err)
	case errors.Is(err, ledger.ErrTooLarge): // trying again would not help
		return &reason.Error{Reason: reason.InvalidRequest, Detail: "The request is too large to be entered in the ledger.", Cause: err}
	}
	return fmt.Errorf("ledger: %w", err)
}

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9-]{8,64}$`)

// RequestID returns the ledger's id of a client's request, or INVALID_REQUEST.
func RequestID(caller warrant.Caller, method, clientID string) (string, error) {
	if !requestIDForm.MatchString(clientID) {
		return "", reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "request_id",
			Description: "must be a UUID, or 8 to 64 letters, digits and hyphens, chosen anew for each request"})
	}
	return ledger.RequestID(caller.Actor, method, clientID), nil
}

// ErrReused is what a request id that served another request is refused with.
func ErrReused() error {
	return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "request_id", Description: "was used for another request"})
}

// roles are those that the legal workflow knows, of the API's.
var roles = []struct {
	message griffierv1.Role
	role    warrant.Role
}{
	{griffierv1.Role_ROLE_LEGAL_OFFICER, warrant.LegalOfficer}, {griffierv1.Role_ROLE_LEGAL_APPROVER, warrant.LegalApprover},
	{griffierv1.Role_ROLE_EXTERNAL_APPROVER, warrant.ExternalApprover}, {griffierv1.Role_ROLE_PRIVACY_CONTROLLER, warrant.PrivacyController},
}

// Caller returns the caller of the context as package warrant sees them. Without
// one everything is refused.
func Caller(ctx context.Context) (warrant.Caller, error) {
	c, ok := auth.FromContext(ctx)
	if !ok || c.Actor == "" {
		return warrant.Caller{}, reason.New(reason.Unauthenticated, "")
	}
	return callerOf(c), nil
}

// callerOf leaves an overseer every legal role out that the account may have too: who
// audits does nothing of what is audited (GDPR 38(6); disclosure.md D-21).
func callerOf(c auth.Caller) warrant.Caller {
	out := warrant.Caller{Actor: c.Actor, Teams: c.Teams}
	for _, r := range roles {
		if c.Has(r.message) && !c.Has(griffierv1.Role_ROLE_OVERSEER) {
			out.Roles = append(out.Roles, r.role)
		}
	}
	return out
}

// body reads the sealed body of the entry at index into to. It returns
// [keystore.ErrShredded] once the case key is destroyed.
func body(ctx context.Context, book Book, index uint64, to any) error {
	entries, err := book.Read(ctx, index, 1)
	if err != nil {
		return LedgerError(err)
	}
	if len(entries) != 1 || entries[0].Index != index {
		return reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("entry %d cannot be read", index))
	}
	text, err := book.Body(entries[0])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("body of entry %d: %w", index, err)
	}
	return nil
}

// Content reads a warrant's content, as it was last edited or extended, from its
// sealed body, and checks it against the hash that was approved.
func Content(ctx context.Context, book Book, w warrant.Warrant) (warrant.Content, error) {
	b, err := contentAt(ctx, book, w.ContentIndex)
	if err != nil {
		return warrant.Content{}, err
	}
	if b.Content.Hash(b.Salt) != w.ContentSHA256 {
		return warrant.Content{}, fmt.Errorf("content of the warrant at entry %d does not have the approved hash", w.ContentIndex)
	}
	return b.Content, nil
}

// contentAt reads the content that an entry made, edited or extended a warrant to.
func contentAt(ctx context.Context, book Book, index uint64) (warrant.CreateBody, error) {
	var b warrant.CreateBody
	if err := body(ctx, book, index, &b); err != nil {
		return warrant.CreateBody{}, shredded(err)
	}
	return b, nil
}

// Question reads a task's question from its sealed body.
func Question(ctx context.Context, book Book, t warrant.Task) (warrant.TaskBody, error) {
	var b warrant.TaskBody
	if err := body(ctx, book, t.Index, &b); err != nil {
		return warrant.TaskBody{}, shredded(err)
	}
	return b, nil
}

func shredded(err error) error {
	if errors.Is(err, keystore.ErrShredded) {
		return &reason.Error{Reason: reason.NotFound, Detail: "The dossier was destroyed.", Cause: err}
	}
	return err
}
