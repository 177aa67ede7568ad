package reason

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the domain of every ErrorInfo that the server sends.
const Domain = "griffier"

// Keys of ErrorInfo.metadata.
const (
	metaCure   = "cure"
	metaDetail = "detail"
)

// ToStatus turns err into the gRPC status that the caller may see: code and
// ErrorInfo by the catalogue, field violations as BadRequest. A status passes
// unchanged, the end of a context keeps its code, and anything else becomes
// [Internal] without a word of err. It returns nil for nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.status()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the call was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "the call took longer than its deadline")
	}
	return Wrap(Internal, err).status()
}

func (e *Error) status() error {
	known := e
	if !e.Reason.Known() {
		known = Wrap(Internal, e)
	}
	entry := known.Reason.Entry()
	code := entry.Code
	if code == codes.OK {
		code = codes.Internal // an answer that succeeds is no error; saying so must not read as success
	}
	info := &errdetails.ErrorInfo{Reason: string(entry.Reason), Domain: Domain,
		Metadata: map[string]string{metaCure: entry.Cure}}
	if known.Detail != "" {
		info.Metadata[metaDetail] = known.Detail
	}
	details := []protoadapt.MessageV1{info}
	if len(known.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range known.Violations {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		details = append(details, bad)
	}
	message := entry.Meaning
	if known.Detail != "" {
		message += " " + known.Detail
	}
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil { // only when a detail cannot be marshalled, which these can
		return status.Error(code, message)
	}
	return st.Err()
}

func fromStatus(err error) *Error {
	st, ok := status.FromError(err)
	if !ok || st == nil {
		return nil
	}
	var e *Error
	var violations []Violation
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e = &Error{Reason: Reason(d.GetReason()), Detail: d.GetMetadata()[metaDetail], Cause: err}
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				violations = append(violations, Violation{v.GetField(), v.GetDescription()})
			}
		}
	}
	if e != nil {
		e.Violations = violations
	}
	return e
}

// ExitOf returns the exit status that the griffier command gives for err.
func ExitOf(err error) Exit {
	if err == nil {
		return ExitOK
	}
	if e := From(err); e != nil {
		if exit := e.Reason.Entry().Exit; exit != ExitOK {
			return exit
		}
		return ExitFailed
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return ExitRetry
	case codes.PermissionDenied, codes.Unauthenticated:
		return ExitDenied
	case codes.InvalidArgument:
		return ExitUsage
	}
	return ExitFailed
}
