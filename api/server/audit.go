package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Kinds of ledger entry that the interceptor appends itself.
const (
	KindRead    = "read"
	KindRefusal = "refusal"
)

// book is the part of the ledger that auditing needs ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// keys makes class keys ([keystore.Store]). Ensure of a key that exists is no error.
type keys interface {
	Ensure(id string) error
}

// selfReads records a customer's reads of their own data ([AccessLog]).
type selfReads interface {
	Record(ctx context.Context, at time.Time, actor, role, method string) error
}

// audit leaves the trace of a call where its audit class says, before the call
// reads anything: no ledger, no answer.
type audit struct {
	book    book
	refuses func() error // may be nil
	keys    keys
	reads   selfReads
	now     func() time.Time
}

// facts is the clear part of a read or refusal entry.
type facts struct {
	Method string `json:"method"`
}

// body is its sealed part.
type body struct {
	Subject string          `json:"subject"`
	Request json.RawMessage `json:"request,omitempty"`
}

func (a *audit) before(ctx context.Context, c call, req any) error {
	if needs := c.rule.GetAudit(); a.refuses != nil && area(c.method) != "ledger" &&
		(needs == griffierv1.Audit_AUDIT_LEDGER_READ || needs == griffierv1.Audit_AUDIT_LEDGER_ACT) {
		if why := a.refuses(); why != nil {
			return &reason.Error{Reason: reason.LedgerUnavailable, Detail: "The ledger's copy on another host is too far behind; nothing new begins until it has caught up.", Cause: why}
		}
	}
	switch c.rule.GetAudit() {
	case griffierv1.Audit_AUDIT_NONE, griffierv1.Audit_AUDIT_LEDGER_ACT:
		return nil
	case griffierv1.Audit_AUDIT_ACCESS_LOG:
		if err := a.reads.Record(ctx, a.now(), c.caller.Actor, auth.RoleName(c.role()), c.method); err != nil {
			return reason.Wrap(reason.StoreUnavailable, err)
		}
		return nil
	case griffierv1.Audit_AUDIT_LEDGER_READ:
		return a.append(ctx, c, KindRead, "", req)
	}
	return reason.New(reason.PermissionDenied, "")
}

// refusal records that a call was refused and why, with the ids of the warrant and
// the task that it was about, so that a case has its refusals. What was asked for is
// not repeated: a refused request has not been checked for anything.
func (a *audit) refusal(ctx context.Context, c call, why reason.Reason) error {
	return a.append(ctx, c, KindRefusal, string(why), c.request)
}

func (a *audit) append(ctx context.Context, c call, kind, why string, req any) error {
	key := ClassKey(area(c.method), a.now())
	if err := a.keys.Ensure(key); err != nil {
		return reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	b := body{Subject: c.caller.Subject}
	var warrantID, taskID string
	if message, ok := req.(proto.Message); ok {
		if kind != KindRefusal {
			text, err := protojson.Marshal(message)
			if err != nil {
				return reason.New(reason.InvalidRequest, "")
			}
			b.Request = text
		}
		warrantID, taskID = textField(message, "warrant_id"), textField(message, "task_id")
	}
	_, err := a.book.Append(ctx, ledger.Draft{
		Kind: kind, Actor: c.caller.Actor, Role: auth.RoleName(c.role()),
		WarrantID: warrantID, TaskID: taskID, Reason: why, KeyID: key,
		Facts: facts{Method: c.method}, Body: b,
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrUnknownOutcome):
		return reason.Wrap(reason.UnknownOutcome, err)
	case errors.Is(err, ledger.ErrClock):
		return reason.Wrap(reason.ClockUntrusted, err)
	case errors.Is(err, ledger.ErrTooLarge): // trying again would not help
		return &reason.Error{Reason: reason.InvalidRequest, Detail: "The request is too large to be entered in the ledger.", Cause: err}
	}
	return reason.Wrap(reason.LedgerUnavailable, err)
}

// ClassKey is the id of the key of a month's entries of one area that belong to
// no warrant. Destroying it ends their content; the log still verifies.
func ClassKey(area string, at time.Time) string {
	return "class:" + area + ":" + at.UTC().Format("2006-01")
}

// area is the service that a method belongs to, in lower case.
func area(method string) string {
	service, _, _ := strings.Cut(method, "/")
	if i := strings.LastIndexByte(service, '.'); i >= 0 {
		service = service[i+1:]
	}
	return strings.ToLower(strings.TrimSuffix(service, "Service"))
}

// textField returns an id that a request names, if it is one: ids are random
// and go into the clear header, so nothing else may.
func textField(m proto.Message, name protoreflect.Name) string {
	fd := m.ProtoReflect().Descriptor().Fields().ByName(name)
	if fd == nil || fd.Kind() != protoreflect.StringKind || fd.IsList() {
		return ""
	}
	id := m.ProtoReflect().Get(fd).String()
	if !isID(id) {
		return ""
	}
	return id
}

// isID tells whether s is 128 bits in hexadecimal, as ids of warrants and tasks
// are. A telephone number, a date or a name is not.
func isID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range s {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}
