package server

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/metadata"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Connections beyond the limit are closed at once, and when one ends the next is taken.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
	l := limit(inner, 2, refused)
	accepted := make(chan net.Conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var served []net.Conn
	for range 2 {
		dial()
		served = append(served, <-accepted)
	}
	if n, err := dial().Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one too many reads %d bytes, %v", n, err)
	}
	if got := testutil.ToFloat64(refused); got != 1 {
		t.Errorf("%v are counted as refused, want 1", got)
	}
	for range 2 { // closed twice, it counts once
		served[0].Close()
	}
	client := dial()
	next := <-accepted
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.LimitReader(next, 1)); err != nil || string(b) != "x" {
		t.Errorf("the next reads %q, %v", b, err)
	}
	if n, err := dial().Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one too many again reads %d bytes, %v", n, err)
	}
	if err := errors.Join(served[1].Close(), next.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	<-ended
}

// Headers that nobody has a use for are not kept in memory for whoever sends them.
func TestHeadersAreLimited(t *testing.T) {
	declare(t, "Headed", map[string]*griffierv1.Access{"Do": supportReads})
	w := start(t, unary("Headed", "Do", nil))
	if err := w.call(t.Context(), "Headed/Do", "x"); reason.Of(err) != reason.Unauthenticated {
		t.Fatalf("without a token: %v", err)
	}
	long := metadata.AppendToOutgoingContext(t.Context(), "x-padding", strings.Repeat("a", 2*maxHeaderBytes))
	if err := w.call(long, "Headed/Do", "x"); err == nil || reason.Of(err) == reason.Unauthenticated {
		t.Errorf("with headers of %d bytes: %v, want them not to be read", 2*maxHeaderBytes, err)
	}
}
