package server

import (
	"context"
	"path"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Why a request was not read; beside the reasons of the catalogue in the metrics.
const (
	unreadMalformed = "MALFORMED" // no protobuf of that type
	unreadTooLarge  = "TOO_LARGE"
	unreadOther     = "UNREAD"
)

// unread counts the unary requests that could not be read, which the gate never
// sees: grpc refuses those before it asks any interceptor. It is a stats.Handler.
type unread struct {
	rules   func() rules
	metrics *metrics
}

// reading is what becomes of one call's request.
type reading struct {
	method string
	done   bool // it reached the gate
}

type readingKey struct{}

// reached notes that a call's request was read.
func reached(ctx context.Context) {
	if r, ok := ctx.Value(readingKey{}).(*reading); ok {
		r.done = true
	}
}

// TagRPC implements stats.Handler.
func (u unread) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if u.rules()[info.FullMethodName] == nil { // whoever calls could choose the label
		return ctx
	}
	return context.WithValue(ctx, readingKey{}, &reading{method: path.Base(path.Dir(info.FullMethodName)) + "/" + path.Base(info.FullMethodName)})
}

// HandleRPC implements stats.Handler. A unary call's request is read, handled
// and ended by one goroutine.
func (u unread) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	if !ok || end.Error == nil {
		return
	}
	r, ok := ctx.Value(readingKey{}).(*reading)
	if !ok || r.done {
		return
	}
	why := unreadOther
	switch status.Code(end.Error) {
	case codes.Internal:
		why = unreadMalformed
	case codes.ResourceExhausted:
		why = unreadTooLarge
	case codes.Canceled:
		why = "CANCELLED"
	}
	u.metrics.observe(r.method, why, end.EndTime.Sub(end.BeginTime))
}

// TagConn implements stats.Handler.
func (unread) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (unread) HandleConn(context.Context, stats.ConnStats) {}
