package doctor

import (
	"context"
	"testing"
	"time"

	"griffier/collector/config"
)

func TestJudgeCertificate(t *testing.T) {
	now := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, x := range []struct {
		from, until time.Duration
		want        Status
	}{
		{-day, 90 * day, Pass}, {-day, 22 * day, Pass}, {-day, 20 * day, Warn}, {-day, time.Second, Warn}, {-day, 0, Fail}, {-2 * day, -day, Fail}, {day, 90 * day, Fail},
	} {
		if f := judgeCertificate(now.Add(x.from), now.Add(x.until), now); f.Status != x.want {
			t.Errorf("from %v until %v: %+v, want %s", x.from, x.until, f, x.want)
		}
	}
}

func TestCertificateFilesAreTried(t *testing.T) {
	if f := checkCertificates(context.Background(), &system{}); f.Status != Skip {
		t.Errorf("without RadSec: %+v", f)
	}
	c := config.Config{}
	c.RADIUS.RadSec = config.RadSec{Listen: ":2083", CertFile: t.TempDir() + "/none"}
	if f := checkCertificates(context.Background(), &system{config: c}); f.Status != Fail || f.Cure == "" {
		t.Errorf("without a file: %+v", f)
	}
}
