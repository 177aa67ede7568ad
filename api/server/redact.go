package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/api/reason"
)

// operations renders an error for the log without anything that a caller sent
// or a row held. Our own wrapping ("read lines: ") is kept; what anything else
// said is reduced to its type and code, since a store quotes queries and
// values, and the operating system names, in its messages.
func operations(err error) string {
	var kept strings.Builder
	for {
		inner, ok := wrapped(err)
		if !ok {
			break
		}
		kept.WriteString(inner.operation)
		err = inner.cause
	}
	return kept.String() + foreign(err)
}

// layer is one wrapping of our own.
type layer struct {
	operation string // with its colon
	cause     error
}

// wrapped takes one wrapping off err, if it is our own: a reason with a cause,
// or fmt.Errorf with one %w.
func wrapped(err error) (layer, bool) {
	if refused, ok := err.(*reason.Error); ok && refused.Cause != nil {
		return layer{string(refused.Reason) + ": ", refused.Cause}, true
	}
	cause := errors.Unwrap(err)
	if cause == nil || fmt.Sprintf("%T", err) != "*fmt.wrapError" {
		return layer{}, false
	}
	operation, _, _ := strings.Cut(err.Error(), cause.Error())
	return layer{operation, cause}, true
}

// foreign describes an error by its type and code only.
func foreign(err error) string {
	var exception *clickhouse.Exception
	var refused *reason.Error
	var pathErr *fs.PathError
	var opErr *net.OpError
	var errno syscall.Errno
	switch {
	case errors.As(err, &exception):
		return fmt.Sprintf("store exception %d (%s)", exception.Code, exception.Name)
	case errors.As(err, &refused):
		return string(refused.Reason)
	case errors.As(err, &pathErr) && errors.As(pathErr.Err, &errno):
		return pathErr.Op + ": " + errno.Error()
	case errors.As(err, &opErr):
		return "network: " + opErr.Op
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return fmt.Sprintf("%T", err)
}
