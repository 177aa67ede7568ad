package reason

import (
	"errors"
	"strings"
)

// Violation names one field of a request and what is wrong with it. The
// description never repeats the field's value.
type Violation struct {
	Field       string
	Description string
}

// Error is an answer or refusal of the catalogue. Detail is a fixed text or
// numbers and dates, never an identifier of a person, line or address.
type Error struct {
	Reason     Reason
	Detail     string
	Violations []Violation
	// Cause is for the server's own log. It is not part of Error's text and
	// never reaches the caller.
	Cause error
}

// New returns an Error with a detail, which may be empty.
func New(r Reason, detail string) *Error { return &Error{Reason: r, Detail: detail} }

// Wrap returns an Error whose cause stays inside the server.
func Wrap(r Reason, cause error) *Error { return &Error{Reason: r, Cause: cause} }

// Invalid returns an Error that lists violations.
func Invalid(r Reason, violations ...Violation) *Error {
	return &Error{Reason: r, Violations: violations}
}

// Error returns the reason, its meaning, the detail and the violations.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Reason))
	b.WriteString(": ")
	b.WriteString(e.Reason.Entry().Meaning)
	if e.Detail != "" {
		b.WriteString(" " + e.Detail)
	}
	for i, v := range e.Violations {
		if i == 0 {
			b.WriteString(" (")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(v.Field + ": " + v.Description)
	}
	if len(e.Violations) > 0 {
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an Error with the same reason, so that
// errors.Is(err, reason.New(reason.NotFound, "")) asks for a reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

// Of returns the reason that err carries, as an [*Error] or as a gRPC status
// with an ErrorInfo of our domain; "" when it carries none.
func Of(err error) Reason {
	if e := From(err); e != nil {
		return e.Reason
	}
	return ""
}

// From returns the [*Error] that err carries, rebuilt from the details when err
// is a gRPC status of our domain; nil when it carries none.
func From(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return fromStatus(err)
}
