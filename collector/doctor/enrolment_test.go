package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/collector/config"
	"griffier/collector/enrol"
)

func TestJudgeIdentity(t *testing.T) {
	start := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.Add(90 * day)}
	i := &enrol.Identity{CollectorID: "edge1", Server: "griffierd:7443", Certificate: tls.Certificate{Leaf: leaf}}
	for _, x := range []struct {
		after time.Duration
		id    string
		want  Status
		text  string
	}{
		{-time.Second, "edge1", Fail, "clock"}, {0, "edge1", Pass, "edge1 until 2026-05-31"}, {60 * day, "edge1", Pass, ""}, {60*day + 23*time.Hour, "edge1", Pass, ""},
		{61*day + time.Hour, "edge1", Warn, "griffierd:7443"}, {90*day - time.Second, "edge1", Warn, ""},
		{90 * day, "edge1", Fail, "griffier collector token edge1"}, {0, "edge2", Fail, "griffier collector token edge2"},
	} {
		f := judgeIdentity(i, x.id, start.Add(x.after))
		if f.Status != x.want || !strings.Contains(f.Found+f.Cause+f.Cure, x.text) || x.want != Pass && (f.Cause == "" || f.Cure == "") {
			t.Errorf("after %v as %s: %+v, want %s with %q", x.after, x.id, f, x.want, x.text)
		}
	}
}

func TestIdentityIsRead(t *testing.T) {
	dir := t.TempDir()
	s := &system{config: config.Config{CollectorID: "edge1", Enrolment: config.Enrolment{Dir: dir}, Store: config.Store{Socket: "/s"}}}
	if f := checkEnrolment(context.Background(), s); f.Status != Skip || !strings.Contains(f.Cause, "unix socket") {
		t.Errorf("beside the store: %+v", f)
	}
	s.config.Store = config.Store{DSNFile: "/d"}
	if f := checkEnrolment(context.Background(), s); f.Status != Skip || strings.Contains(f.Cause, "unix socket") {
		t.Errorf("with a server: %+v", f)
	}
	if err := os.Symlink("certificate-1", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	if f := checkEnrolment(context.Background(), s); f.Status != Fail || !strings.Contains(f.Cure, "griffier collector token edge1") {
		t.Errorf("a link to nothing: %+v", f)
	}
}
