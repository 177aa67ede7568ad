package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"griffier/collector/spool"
	"griffier/schema"
)

func TestClassifyAndDescribe(t *testing.T) {
	const secret = "198.51.100.77"
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"constraint":      {&clickhouse.Exception{Code: 469, Message: secret}, retryContent},
		"type mismatch":   {&clickhouse.Exception{Code: 53, Message: secret}, retryContent},
		"invalid":         {fmt.Errorf("insert: %w", schema.ErrInvalid), retryContent},
		"conversion":      {&column.ColumnConverterError{Hint: secret}, retryContent},
		"unknown table":   {&clickhouse.Exception{Code: 60}, retryException},
		"too many parts":  {&clickhouse.Exception{Code: 252}, retryException},
		"memory":          {&clickhouse.Exception{Code: 241, Message: secret}, retryException},
		"deadline":        {context.DeadlineExceeded, retryTimeout},
		"refused":         {&net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}, retryConnect},
		"reset":           {syscall.ECONNRESET, retryConnect},
		"closed by store": {io.ErrUnexpectedEOF, retryConnect},
		"anything else":   {errors.New("response body: " + secret), retryDriver},
	} {
		err := fmt.Errorf("insert usage: %w", c.err)
		if got := classify(err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if text := describe(err); text == "" || strings.Contains(text, secret) {
			t.Errorf("%s: described as %q", name, text)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		failures int
		jitter   float64
		want     time.Duration
	}{
		{0, 0, 20 * time.Millisecond},
		{0, 0.5, 15 * time.Millisecond},
		{1, 0, 40 * time.Millisecond},
		{10, 0, 20480 * time.Millisecond},
		{11, 0, 30 * time.Second},
		{11, 0.999999, 15 * time.Second},
		{1 << 30, 0, 30 * time.Second},
	} {
		if got := backoff(c.failures, c.jitter); got.Round(time.Millisecond) != c.want {
			t.Errorf("backoff(%d, %v) = %v, want %v", c.failures, c.jitter, got, c.want)
		}
	}
}

func TestExpireQuarantine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "q")
	limits := map[schema.Class]time.Time{schema.ClassUsage5m: usage(5).EndedAt}
	if n, err := ExpireQuarantine(dir, limits); n != 0 || err != nil {
		t.Errorf("without a folder: %d, %v", n, err)
	}
	for token, records := range map[string][]schema.Record{"all": usages(0, 3), "some": append(others(), usages(3, 8)...)} {
		if err := writeQuarantine(dir, quarantineHeader{Token: token, Reason: quarantineRefused}, records); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := ExpireQuarantine(dir, limits); n != 5 || err != nil {
		t.Errorf("ExpireQuarantine: %d, %v, want 5", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "all-"+quarantineRefused+quarantineSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of expired rows only is still there: %v", err)
	}
	_, records, err := readQuarantine(filepath.Join(dir, "some-"+quarantineRefused+quarantineSuffix))
	if err != nil || len(records) != 6 {
		t.Errorf("%d rows left, %v, want 6: three of other classes and three of usage", len(records), err)
	}
	if n, err := ExpireQuarantine(dir, limits); n != 0 || err != nil {
		t.Errorf("a second time: %d, %v", n, err)
	}
}

// FuzzReadQuarantine gives the reader any file; what it takes goes back into a
// file unchanged, and its errors quote nothing.
func FuzzReadQuarantine(f *testing.F) {
	dir := f.TempDir()
	if err := writeQuarantine(dir, quarantineHeader{Token: "t", Reason: quarantineInvalid}, append(others(), usage(7))); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "t-"+quarantineInvalid+quarantineSuffix))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, in, 0o600); err != nil {
			t.Fatal(err)
		}
		_, records, err := readQuarantine(path)
		if err != nil {
			return
		}
		for _, r := range records {
			if _, err := spool.EncodeRecord(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
