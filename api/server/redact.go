package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// operations renders an error for the log without anything that a caller sent
// or a row held. Our own wrapping ("read lines: ") is kept; what the store or
// the operating system said is reduced to its type and code, since a store
// quotes queries and values in its messages.
func operations(err error) string {
	var exception *clickhouse.Exception
	var pathErr *fs.PathError
	var opErr *net.OpError
	var foreign error
	var short string
	switch {
	case errors.As(err, &exception):
		foreign, short = exception, fmt.Sprintf("store exception %d (%s)", exception.Code, exception.Name)
	case errors.As(err, &pathErr):
		foreign, short = pathErr, pathErr.Op+": "+pathErr.Err.Error()
	case errors.As(err, &opErr):
		foreign, short = opErr, "network: "+opErr.Op
	case errors.Is(err, context.DeadlineExceeded):
		foreign, short = context.DeadlineExceeded, "deadline exceeded"
	default:
		return fmt.Sprintf("%s (%T)", operationsOnly(err), root(err))
	}
	return operationPrefix(err.Error(), foreign.Error()) + short
}

// operationPrefix is what stands before the foreign text.
func operationPrefix(whole, foreign string) string {
	if before, _, ok := strings.Cut(whole, foreign); ok {
		return before
	}
	return ""
}

// operationsOnly keeps the leading "operation: " parts of a wrapped error.
func operationsOnly(err error) string {
	inner := root(err)
	if inner == nil || inner == err {
		return "unclassified error"
	}
	return strings.TrimSuffix(operationPrefix(err.Error(), inner.Error()), ": ")
}

func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
