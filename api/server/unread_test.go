package server

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// octets sends what it is given as it is.
type octets struct{}

func (octets) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (octets) Unmarshal(_ []byte, _ any) error { return nil }
func (octets) Name() string                    { return "proto" }

// What cannot be read is counted by reason, reaches no handler, and an unknown
// method makes no label.
func TestUnreadableRequestsAreCounted(t *testing.T) {
	declare(t, "Unread", map[string]*griffierv1.Access{"Do": supportReads})
	handled := 0
	w := start(t, unary("Unread", "Do", func(context.Context, *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error) {
		handled++
		return &griffierv1.Volume{}, nil
	}))
	sam := w.as(t, "sam")
	send := func(method string, request []byte) codes.Code {
		return status.Code(w.conn.Invoke(sam, method, request, new([]byte), grpc.ForceCodec(octets{})))
	}
	malformed := []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}
	for range 3 {
		if c := send("/test.Unread/Do", malformed); c != codes.Internal {
			t.Errorf("malformed: %v", c)
		}
	}
	if c := send("/test.Unread/Do", make([]byte, maxRequestBytes+1)); c != codes.ResourceExhausted {
		t.Errorf("too large: %v", c)
	}
	if c := send("/test.Unread/Undo", malformed); c != codes.Unimplemented {
		t.Errorf("unknown method: %v", c)
	}
	if err := w.call(sam, "Unread/Do", "L-1"); err != nil || handled != 1 {
		t.Errorf("a good request after them: %v, handled %d", err, handled)
	}
	for why, want := range map[string]float64{"MALFORMED": 3, "TOO_LARGE": 1, "OK": 1, "INTERNAL": 0, "UNREAD": 0} {
		comesTo(t, w, "test.Unread/Do", why, want)
	}
	if n, err := testutil.GatherAndCount(w.metrics, "griffier_api_calls_total"); err != nil || n != 3 {
		t.Errorf("%d series, %v; want 3", n, err)
	}
}

// counted is how many calls of a method ended with a reason.
func counted(t *testing.T, w *world, method, why string) (sum float64) {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "griffier_api_calls_total" {
			continue
		}
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["method"] == method && labels["reason"] == why {
				sum += m.Counter.GetValue()
			}
		}
	}
	return sum
}

// comesTo waits for a count: the caller has its answer before the call is counted.
func comesTo(t *testing.T, w *world, method, why string, want float64) {
	t.Helper()
	got := counted(t, w, method, why)
	for deadline := time.Now().Add(5 * time.Minute); got != want && time.Now().Before(deadline); got = counted(t, w, method, why) {
		time.Sleep(time.Millisecond)
	}
	if got != want {
		t.Errorf("%s: %s counted %v times, want %v", method, why, got, want)
	}
}

// grpc tells the caller by itself; the call is counted as refused, and is no
// failure of the service.
func TestUnreadableStreamRequestIsRefused(t *testing.T) {
	declare(t, "UnreadStream", map[string]*griffierv1.Access{"Do": supportReads})
	w := start(t, streaming("UnreadStream", "Do", func(ss grpc.ServerStream) error {
		req := new(griffierv1.GetTotalsRequest)
		if err := ss.RecvMsg(req); err != nil {
			return err
		}
		return ss.SendMsg(&griffierv1.Volume{})
	}))
	stream, err := w.conn.NewStream(w.as(t, "sam"), &grpc.StreamDesc{ServerStreams: true}, "/test.UnreadStream/Do", grpc.ForceCodec(octets{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg([]byte{0x0a, 0xff}); err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	if err := stream.RecvMsg(new([]byte)); status.Code(err) != codes.Internal {
		t.Errorf("err = %v", err)
	}
	comesTo(t, w, "test.UnreadStream/Do", string(reason.InvalidRequest), 1)
}
