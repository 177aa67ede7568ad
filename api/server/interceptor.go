package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"griffier/api/auth"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// StepUpAge is how long ago a caller may have authenticated for an rpc that
// asks for step-up (disclosure.md D-44).
const StepUpAge = 5 * time.Minute

// authenticator establishes the caller of a call ([auth.Authenticator]).
type authenticator interface {
	Authenticate(ctx context.Context) (auth.Caller, error)
}

// gate enforces, for every call, the access rule and audit class of its rpc. It
// is the only place that does.
type gate struct {
	rules   rules
	auth    authenticator
	audit   *audit
	scope   func(caller auth.Caller, rule *griffierv1.Access, request proto.Message) error
	limiter *limiter // of calls
	denied  *limiter // of those that are entered because they were denied
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time
}

func (g *gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	reached(ctx)
	ctx, call, err := g.admit(ctx, info.FullMethod)
	call.request = req
	if err == nil {
		err = g.begin(ctx, call, req)
	}
	if err == nil {
		resp, err = contained(func() (any, error) { return handler(ctx, req) })
	}
	return resp, g.finish(ctx, call, err)
}

// begin looks at a call's request, and enters that it was made, before its handler
// has it.
func (g *gate) begin(ctx context.Context, c call, req any) error {
	if m, ok := req.(proto.Message); ok && g.scope != nil && c.known {
		if err := g.scope(c.caller, c.rule, m); err != nil {
			return err
		}
	}
	return g.audit.before(ctx, c, req)
}

func (g *gate) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	reached(ss.Context())
	ctx, call, err := g.admit(ss.Context(), info.FullMethod)
	if err == nil {
		audited := &auditedStream{ServerStream: ss, ctx: ctx, gate: g, call: call}
		_, err = contained(func() (any, error) { return nil, handler(srv, audited) })
		call.request = audited.call.request
	}
	return g.finish(ctx, call, err)
}

// auditedStream audits a streaming call when its first request arrives, which
// is before the handler can have read anything for it.
type auditedStream struct {
	grpc.ServerStream
	ctx     context.Context
	gate    *gate
	call    call
	audited bool
}

func (s *auditedStream) Context() context.Context { return s.ctx }

func (s *auditedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		if c := status.Code(err); c == codes.Internal || c == codes.ResourceExhausted { // malformed or too large
			return reason.Wrap(reason.InvalidRequest, err)
		}
		return err
	}
	if s.audited {
		return nil
	}
	s.audited, s.call.request = true, m
	return s.gate.begin(s.ctx, s.call, m)
}

// SendMsg refuses an answer before the request was audited.
func (s *auditedStream) SendMsg(m any) error {
	if !s.audited {
		return errNotAudited
	}
	return s.ServerStream.SendMsg(m)
}

var errNotAudited = errors.New("handler answered before it read its request")

// call is what is known of a call once its caller is.
type call struct {
	method string // short, Service/Method
	rule   *griffierv1.Access
	caller auth.Caller
	known  bool // the caller authenticated
	began  time.Time
	// request is the one of the call, or the first of a stream: a refusal tells its ids.
	request any
}

// role is the role in which the caller makes this call: the first of the rule's
// that they have.
func (c call) role() griffierv1.Role {
	for _, r := range c.rule.GetRoles() {
		if c.caller.Has(r) {
			return r
		}
	}
	return griffierv1.Role_ROLE_UNSPECIFIED
}

// admit decides whether a call may go on. The zero value of everything denies.
func (g *gate) admit(ctx context.Context, fullMethod string) (context.Context, call, error) {
	c := call{
		method: path.Base(path.Dir(fullMethod)) + "/" + path.Base(fullMethod),
		rule:   g.rules[fullMethod],
		began:  g.now(),
	}
	if c.rule == nil {
		return ctx, c, reason.New(reason.PermissionDenied, "")
	}
	if c.rule.GetRoles()[0] == griffierv1.Role_ROLE_ANYONE {
		return ctx, c, nil
	}
	caller, err := g.auth.Authenticate(ctx)
	if err != nil {
		if errors.Is(err, auth.ErrProviderUnreachable) {
			return ctx, c, &reason.Error{Reason: reason.Unauthenticated, Detail: "The identity provider cannot be reached; try again.", Cause: err}
		}
		return ctx, c, reason.Wrap(reason.Unauthenticated, err)
	}
	c.caller, c.known = caller, true
	if !g.limiter.allow(caller.Actor) {
		return ctx, c, reason.New(reason.RateLimited, "")
	}
	if c.role() == griffierv1.Role_ROLE_UNSPECIFIED {
		return ctx, c, reason.New(reason.PermissionDenied, "")
	}
	if c.rule.GetStepUp() {
		age := g.now().Sub(caller.AuthenticatedAt)
		if caller.AuthenticatedAt.IsZero() || age > StepUpAge || age < -time.Minute {
			return ctx, c, reason.New(reason.StepUpRequired, "")
		}
	}
	return auth.NewContext(ctx, caller), c, nil
}

// finish counts the call, audits a refusal and turns err into what the caller sees.
func (g *gate) finish(ctx context.Context, c call, err error) error {
	refused := reason.From(err)
	if refused != nil && c.known && denied(refused.Reason) && !g.denied.allow(c.caller.Actor) {
		refused = reason.New(reason.RateLimited, "")
		err = refused
	}
	if refused != nil && c.known && g.mustAudit(c, refused.Reason) {
		// The caller's context may be gone; the trace of the refusal may not.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if auditErr := g.audit.refusal(ctx, c, refused.Reason); auditErr != nil {
			err = auditErr
		}
	}
	why := "OK"
	switch r := reason.Of(err); {
	case r != "":
		why = string(r)
	case errors.Is(err, context.Canceled):
		why = "CANCELLED"
	case errors.Is(err, context.DeadlineExceeded):
		why = "DEADLINE_EXCEEDED"
	case err != nil:
		why = string(reason.Internal)
	}
	g.metrics.observe(c.method, why, g.now().Sub(c.began))
	if err == nil {
		return nil
	}
	if refused := reason.From(err); refused != nil && refused.Cause != nil && refused.Reason.Entry().Code == codes.Unavailable {
		g.log.LogAttrs(ctx, slog.LevelError, "call could not be served", slog.String("method", c.method), slog.String("error", redact(err)))
	}
	if why == string(reason.Internal) {
		incident := rand.Text()[:10]
		g.log.LogAttrs(ctx, slog.LevelError, "call failed", slog.String("method", c.method),
			slog.String("incident", incident), slog.String("error", redact(err)))
		err = &reason.Error{Reason: reason.Internal, Detail: "Incident " + incident + ".", Cause: err}
	}
	return reason.ToStatus(err)
}

// mustAudit tells whether a refusal belongs in the ledger: every one of a legal
// act, and every attempt at something that the caller's role does not allow.
// Refusals because the ledger itself is away cannot be, and those of a rate
// limit must not become a way to flood it.
func (g *gate) mustAudit(c call, why reason.Reason) bool {
	switch why {
	case reason.RateLimited, reason.LedgerUnavailable, reason.UnknownOutcome, reason.ClockUntrusted, reason.Internal, reason.StoreUnavailable:
		return false
	}
	return denied(why) || c.rule.GetAudit() == griffierv1.Audit_AUDIT_LEDGER_ACT || c.rule.GetAudit() == griffierv1.Audit_AUDIT_LEDGER_READ
}

// denied tells a call that its caller may not make, or not now.
func denied(why reason.Reason) bool {
	return why == reason.PermissionDenied || why == reason.StepUpRequired
}

// panicked is a handler's panic as an error; the stack goes to the log only.
type panicked struct{ stack []byte }

func (p panicked) Error() string { return "handler panicked" }

func contained(f func() (any, error)) (resp any, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, panicked{debug.Stack()}
		}
	}()
	return f()
}

// redact returns the text of an error for the log: the stack of a panic (which
// holds no values), or the chain's operations.
func redact(err error) string {
	var p panicked
	if errors.As(err, &p) {
		return "handler panicked\n" + string(p.stack)
	}
	return operations(err)
}
