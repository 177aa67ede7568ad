package execute_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/execute"
	"griffier/api/disclosure/letter"
	"griffier/api/disclosure/seal"
	"griffier/api/disclosure/stamp/stamptest"
	"griffier/api/reason"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
)

// released is an attribution that was executed and released.
func (l *lab) released(w *griffierv1.Warrant) *griffierv1.Task {
	l.T.Helper()
	task := l.Task(w, "192.0.2.17", l.Noon)
	done, err := l.Execute(task)
	if err != nil {
		l.T.Fatal(err)
	}
	return done
}

func (l *lab) kept(taskID string) bool {
	l.T.Helper()
	found, err := filepath.Glob(filepath.Join(l.Dir, "packages", taskID+".sealed"))
	if err != nil {
		l.T.Fatal(err)
	}
	return len(found) > 0
}

// TestDelivery has the life of a package after its release, over the rpcs.
func TestDelivery(t *testing.T) {
	l := newLab(t)
	w := l.Approve(l.Content(100 * time.Hour))

	t.Run("one download", func(t *testing.T) {
		done := l.released(w)
		got, err := l.Packages.GetPackage(l.Officer(), &griffierv1.GetPackageRequest{TaskId: done.TaskId})
		if err != nil || got.DownloadUntil == nil || got.Downloads != 0 || got.PackageSha256 != done.PackageSha256 {
			t.Fatalf("%v %v", got, err)
		}
		sealed, receipt, err := l.FetchOnce(l.Officer(), done)
		if err != nil || len(sealed) == 0 || len(receipt) == 0 {
			t.Fatal(err)
		}
		for _, as := range []context.Context{l.Officer(), l.Approver()} {
			if again, _, err := l.FetchOnce(as, done); reason.Of(err) != reason.DownloadUsed || len(again) > 0 {
				t.Errorf("a second fetch: %d bytes, %v", len(again), err)
			}
		}
		request := l.Request()
		for range 2 { // asked again with the same id, it is one grant
			if _, err := l.Packages.GrantDownload(l.Approver(), &griffierv1.GrantDownloadRequest{RequestId: request, TaskId: done.TaskId, Role: griffierv1.Role_ROLE_LEGAL_OFFICER}); err != nil {
				t.Fatal(err)
			}
		}
		same, _, err := l.FetchOnce(l.Officer(), done)
		if err != nil || !bytes.Equal(same, sealed) {
			t.Errorf("after a grant: %v", err)
		}
		if kinds := l.Kinds(done.TaskId); !slices.Equal(kinds[len(kinds)-3:], []string{"fetch", "package.grant", "fetch"}) {
			t.Errorf("entries %v", kinds)
		}

		got, err = l.Packages.AcknowledgePackage(l.Officer(), &griffierv1.AcknowledgePackageRequest{RequestId: l.Request(), TaskId: done.TaskId, Reference: "ONTV-7"})
		if err != nil || got.AcknowledgedAt == nil || got.DestroyAt.AsTime().Sub(got.AcknowledgedAt.AsTime()) != 30*24*time.Hour {
			t.Errorf("%v %v", got, err)
		}
	})

	t.Run("acknowledged and destroyed", func(t *testing.T) {
		done := l.released(w)
		if _, _, err := l.FetchOnce(l.Officer(), done); err != nil {
			t.Fatal(err)
		}
		l.Rules.AcknowledgedFor = time.Millisecond
		defer func() { l.Rules.AcknowledgedFor = 0 }()
		if _, err := l.Packages.AcknowledgePackage(l.Officer(), &griffierv1.AcknowledgePackageRequest{RequestId: l.Request(), TaskId: done.TaskId, Reference: "ONTV-8"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		if err := l.Executor.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l.kept(done.TaskId) {
			t.Error("the package is still there")
		}
		if kinds := l.Kinds(done.TaskId); kinds[len(kinds)-1] != "destroy" {
			t.Errorf("entries %v", kinds)
		}
	})

	t.Run("recalled unfetched", func(t *testing.T) {
		done := l.released(w)
		got, err := l.Packages.RecallPackage(l.Approver(), &griffierv1.RecallPackageRequest{RequestId: l.Request(), TaskId: done.TaskId, Explanation: "an hour off"})
		if err != nil || got.RecalledAt == nil || !got.Destroyed || got.DownloadUntil != nil {
			t.Errorf("%v %v", got, err)
		}
		if _, _, err := l.FetchOnce(l.Officer(), done); reason.Of(err) != reason.PackageRecalled || l.kept(done.TaskId) {
			t.Errorf("fetched: %v, kept: %v", err, l.kept(done.TaskId))
		}
	})

	t.Run("recalled and corrected", func(t *testing.T) {
		wrong := l.released(w)
		if _, _, err := l.FetchOnce(l.Officer(), wrong); err != nil {
			t.Fatal(err)
		}
		request := &griffierv1.RecallPackageRequest{RequestId: l.Request(), TaskId: wrong.TaskId, Explanation: "an hour off"}
		if _, err := l.Packages.RecallPackage(l.Officer(), request); reason.Of(err) != reason.InvalidRequest {
			t.Errorf("recalled though nobody told the authority: %v", err)
		}
		request.RequestId, request.ToldHow = l.Request(), "by telephone"
		if got, err := l.Packages.RecallPackage(l.Officer(), request); err != nil || got.Destroyed {
			t.Errorf("%v %v: what the authority has is kept as evidence", got, err)
		}
		task := l.Task(w, "192.0.2.17", l.Noon)
		got, err := l.Packages.CorrectPackage(l.Officer(), &griffierv1.CorrectPackageRequest{RequestId: l.Request(), TaskId: task.TaskId, CorrectsTaskId: wrong.TaskId})
		if err != nil || got.Corrects != wrong.TaskId {
			t.Fatalf("%v %v", got, err)
		}
		done, err := l.Execute(task)
		if err != nil {
			t.Fatal(err)
		}
		sealed, receipt, err := l.FetchOnce(l.Officer(), done)
		if err != nil {
			t.Fatal(err)
		}
		r := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity))
		if !r.Verified() || r.Manifest.CorrectsSHA256 != wrong.PackageSha256 {
			t.Errorf("report %s", disclosuretest.JSON(r))
		}
		if old, err := l.Packages.GetPackage(l.Officer(), &griffierv1.GetPackageRequest{TaskId: wrong.TaskId}); err != nil || old.CorrectedBy != task.TaskId {
			t.Errorf("%v %v", old, err)
		}
	})

	t.Run("nobody else", func(t *testing.T) {
		done := l.released(w)
		if _, err := l.Packages.RecallPackage(l.As("cc", griffierv1.Role_ROLE_SUPPORT), &griffierv1.RecallPackageRequest{RequestId: l.Request(), TaskId: done.TaskId, Explanation: "x"}); reason.Of(err) != reason.PermissionDenied {
			t.Errorf("recalled by support: %v", err)
		}
		if _, err := l.Packages.GetPackage(l.Officer(), &griffierv1.GetPackageRequest{TaskId: strings.Repeat("0", 32)}); reason.Of(err) != reason.NotFound {
			t.Errorf("a package of no task: %v", err)
		}
	})

	// What was taken back is counted, by no more than whether it had left; a restart
	// forgets none.
	t.Run("counted", func(t *testing.T) {
		const want = `# HELP griffier_packages_corrected_total Recalled answers in whose place a correction was released.
# TYPE griffier_packages_corrected_total counter
griffier_packages_corrected_total 1
# HELP griffier_packages_recalled_total Answers taken back because they were wrong, by whether the package had been fetched.
# TYPE griffier_packages_recalled_total counter
griffier_packages_recalled_total{fetched="no"} 1
griffier_packages_recalled_total{fetched="yes"} 1
# HELP griffier_packages_released_total Packages released to be handed out, corrections among them.
# TYPE griffier_packages_released_total counter
griffier_packages_released_total 6
`
		for range 2 {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(execute.Collector{State: l.State})
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
			if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
				t.Errorf("lint: %v %v", problems, err)
			}
			l.Restart()
		}
	})
}

// TestCertificate seals to a registered certificate, on a curve, and to nothing once its key was
// put in another's place.
func TestCertificate(t *testing.T) {
	l := newLab(t)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Parket"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageKeyAgreement}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	name := "sha256:" + hex.EncodeToString(sum[:])
	material := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := seal.ParseIdentity([]byte(material + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))))
	if err != nil {
		t.Fatal(err)
	}
	registered := material
	l.Packing = execute.Packing{Provider: "Voorbeeld Internet", Language: letter.Dutch, Recipients: func(_ context.Context, authority, fingerprint string) (string, error) {
		if authority != "NL-OM-Amsterdam" || "sha256:"+fingerprint != name {
			return "", errors.New("not registered")
		}
		return registered, nil
	}}
	l.Restart()
	l.Rules.Authorities = warranttest.Registry(l.Identity.Recipient().String(), name)
	content := l.Content(10 * time.Hour)
	content.Recipient = name
	w := l.Approve(content)
	done := l.released(w)
	sealed, receipt, err := l.FetchOnce(l.Officer(), done)
	if err != nil {
		t.Fatal(err)
	}
	if form, _ := seal.FormOf(sealed); form != seal.CMS {
		t.Errorf("sealed as %s", form)
	}
	r := disclosure.Verify(sealed, receipt, l.Trust(), identity)
	if !r.Verified() || "sha256:"+r.Manifest.SealedTo != name || r.Manifest.Language != "nl" {
		t.Errorf("report %s", disclosuretest.JSON(r))
	}

	registered = strings.Replace(material, "MII", "MIJ", 1)
	task := l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); reason.Of(err) != reason.RecipientUnfit || l.kept(task.TaskId) {
		t.Errorf("sealed to a key that was put in its place: %v", err)
	}
}

// TestTimestamp: where there is a time-stamping authority, nothing leaves without it,
// unless the operator allows that.
func TestTimestamp(t *testing.T) {
	l := newLab(t)
	tsa := stamptest.Start(t)
	client := tsa.Client()
	root, err := os.ReadFile(tsa.RootFile)
	if err != nil {
		t.Fatal(err)
	}
	trust := func() disclosure.Trust {
		trust := l.Trust()
		trust.TimestampRoots = string(root)
		return trust
	}
	l.Packing = execute.Packing{Stamper: client}
	l.Restart()
	w := l.Approve(l.Content(10 * time.Hour))
	done := l.released(w)
	sealed, receipt, err := l.FetchOnce(l.Officer(), done)
	if err != nil {
		t.Fatal(err)
	}
	if r := disclosure.Verify(sealed, receipt, trust(), seal.AgeIdentity(l.Identity)); !r.Verified() || !r.Manifest.Timestamped {
		t.Errorf("report %s", disclosuretest.JSON(r))
	}

	tsa.Down.Store(true)
	task := l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); reason.Of(err) != reason.TimestampUnavailable || l.kept(task.TaskId) {
		t.Errorf("without a time stamp: %v, kept: %v", err, l.kept(task.TaskId))
	}
	if _, _, err := l.FetchOnce(l.Officer(), task); reason.Of(err) != reason.NotFound {
		t.Errorf("fetched: %v", err)
	}
	tsa.Down.Store(false)
	if done, err = l.Execute(task); err != nil || done.ReleasedAt == nil {
		t.Fatalf("when it is back: %v %v", done, err)
	}

	// The authority goes away between the package and its receipt: the package waits, and
	// the next execution asks nothing again.
	stamps := 0
	l.Packing.Stamper = stamper(func(ctx context.Context, digest [32]byte) ([]byte, error) {
		if stamps++; stamps == 2 {
			return nil, os.ErrDeadlineExceeded
		}
		return client.Stamp(ctx, digest)
	})
	l.Restart()
	task = l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); reason.Of(err) != reason.TimestampUnavailable || !l.kept(task.TaskId) {
		t.Errorf("without the receipt's time stamp: %v, kept: %v", err, l.kept(task.TaskId))
	}
	if _, _, err := l.FetchOnce(l.Officer(), task); reason.Of(err) != reason.NotFound {
		t.Errorf("fetched before the release: %v", err)
	}
	reads := l.Traffic.Reads.Load()
	if done, err = l.Execute(task); err != nil || done.ReleasedAt == nil || l.Traffic.Reads.Load() != reads {
		t.Errorf("the next try: %v %v, read again: %v", done, err, l.Traffic.Reads.Load() != reads)
	}

	tsa.Down.Store(true)
	l.Packing = execute.Packing{Stamper: client, StampOptional: true}
	l.Restart()
	done = l.released(w)
	if sealed, receipt, err = l.FetchOnce(l.Officer(), done); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(receipt, []byte(disclosure.TimestampMissed)) {
		t.Errorf("the receipt does not say that there is no time stamp: %s", receipt)
	}
	if r := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity)); !r.Verified() {
		t.Errorf("without roots: %s", disclosuretest.JSON(r))
	}
	if r := disclosure.Verify(sealed, receipt, trust(), seal.AgeIdentity(l.Identity)); !r.Failed() {
		t.Error("who expects a time stamp is told that all is well")
	}
}

type stamper func(context.Context, [32]byte) ([]byte, error)

func (s stamper) Stamp(ctx context.Context, digest [32]byte) ([]byte, error) { return s(ctx, digest) }
