package disclosure_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/seal"
	"griffier/api/disclosure/stamp/stamptest"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/schema"
)

// sample is a package with its receipt in a real ledger, and what it takes to
// make variations of it.
type sample struct {
	log      *ledger.Log
	signer   *disclosure.Signer
	identity *age.X25519Identity
	trust    disclosure.Trust
	c        disclosure.Case
	intent   ledger.Entry
	answer   reason.Reason
	sealed   []byte
	receipt  []byte
	plain    []byte
	tsa      *stamptest.TSA      // nil: nothing is stamped
	witness  *ledger.CosignerKey // nil: nobody else signs
	late     *atomic.Bool        // the ledger's clock is three hours ahead
}

func seed(b byte) []byte { return bytes.Repeat([]byte{b}, ed25519.SeedSize) }

func newLog(t *testing.T, origin string) (*ledger.Log, *ledger.Key, *atomic.Bool) {
	late := &atomic.Bool{}
	now := func() time.Time {
		if late.Load() {
			return time.Now().Add(3 * time.Hour)
		}
		return time.Now()
	}
	dir := t.TempDir()
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), origin)
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Now: now, Limit: disclosuretest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log, key, late
}

func evidence(answer reason.Reason) disclosure.Evidence {
	w := world()
	switch answer {
	case reason.Match:
		w.Assignments = []schema.Assignment{assignment("192.0.2.17/32", 1, -60, 60)}
	case reason.CoverageGap:
		w.Coverage = nil
	}
	return w
}

var alice = disclosure.Person{Name: "Alice \"=1+1\" Jansen, mevr.", InstallationAddress: disclosure.PostalAddress{
	Street: "Lange Voorhout", HouseNumber: "8", Postcode: "2514 EA", Town: "Den Haag", Country: "NL"}}

func newSample(t *testing.T, answer reason.Reason) *sample {
	log, key, late := newLog(t, "isp.example/griffier")
	s := &sample{log: log, late: late, answer: answer}
	var err error
	if s.signer, err = disclosure.NewSigner(seed(1)); err != nil {
		t.Fatal(err)
	}
	if s.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	s.trust = disclosure.Trust{PackageKey: s.signer.Public(), LedgerOrigin: "isp.example/griffier", LedgerKey: key.Public}
	s.intent = s.append(t, ledger.Draft{Kind: warrant.KindTaskIntent, WarrantID: "w1", TaskID: "t1", Generation: 1})
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	s.c = disclosure.Case{Software: "griffier test", WarrantID: "w1", Reference: "PV-2026/0042", WarrantContentSHA256: strings.Repeat("c", 64),
		LegalBasis: "NL-126na", TaskID: "t1", Generation: 1, Attempt: 1, Category: "ATTRIBUTION", InstantEntered: "2026-11-19T13:00:00+01:00", Zone: zone,
		To:          disclosure.Addressee{Country: "NL", Authority: "NL-OM-Amsterdam", RequestedBy: "J. de Vries", Reference: "PV-2026/0042", Provider: "isp.example"},
		IntentIndex: s.intent.Index, QueriedAt: noon.Add(time.Hour), Retention: disclosure.ManifestRetention{Class: "assignment", Period: "P6M",
			Zone: "Europe/Amsterdam", ReadableFromUTC: at(-7200)}}
	s.plain = s.tar(t, s.c, answer)
	s.seal(t, s.plain)
	s.prove(t, warrant.ResultFacts{Revision: 7, Attempt: 1, IntentIndex: s.intent.Index, Answer: string(answer)}, nil)
	return s
}

// newStampedSample is a match that is time-stamped and witnessed.
func newStampedSample(t *testing.T, tsa *stamptest.TSA) *sample {
	s := newSample(t, reason.Match)
	s.tsa = tsa
	s.c.Stamp = func(digest [32]byte) ([]byte, error) { return s.tsa.Client().Stamp(t.Context(), digest) }
	root, err := os.ReadFile(s.tsa.RootFile)
	if err != nil {
		t.Fatal(err)
	}
	s.trust.TimestampRoots = string(root)
	s.witness = newWitness(t, "witness.example")
	s.trust.WitnessKeys = []string{s.witness.Public}
	s.plain = s.tar(t, s.c, reason.Match)
	s.seal(t, s.plain)
	s.prove(t, warrant.ResultFacts{Revision: 7, Attempt: 1, IntentIndex: s.intent.Index, Answer: "MATCH"}, nil)
	return s
}

func newWitness(t *testing.T, name string) *ledger.CosignerKey {
	t.Helper()
	secret, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.NewCosignerKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wide is text as the letter's content streams have it.
func wide(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteByte(0)
		b.WriteRune(r)
	}
	return b.String()
}

func (s *sample) append(t *testing.T, d ledger.Draft) ledger.Entry {
	e, err := s.log.Append(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *sample) tar(t *testing.T, c disclosure.Case, answer reason.Reason) []byte {
	e := evidence(answer)
	p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon, Port: 443, Protocol: 6}, disclosure.DefaultClockMargin)
	a := disclosure.Judge(p, e)
	if a.Reason != answer {
		t.Fatalf("answer %s, want %s", a.Reason, answer)
	}
	columns := disclosure.ColumnsFor(warrant.Attribution, []warrant.Category{warrant.Attribution, warrant.Identity})
	plain, err := disclosure.Tar(s.signer, c, p, e, a, disclosure.Attributed(p, a, alice), columns)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func (s *sample) seal(t *testing.T, plain []byte) {
	t.Helper()
	to, err := seal.Parse(s.identity.Recipient().String(), noon)
	if err == nil {
		s.sealed, err = to.Seal(plain)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// prove enters a result for the sealed package and makes the receipt.
func (s *sample) prove(t *testing.T, f warrant.ResultFacts, change func(*ledger.Draft)) {
	f.PackageSHA256, f.PackageBytes = disclosure.SHA256(s.sealed), int64(len(s.sealed))
	d := ledger.Draft{Kind: warrant.KindTaskResult, WarrantID: "w1", TaskID: "t1", Generation: 1, Facts: f}
	if change != nil {
		change(&d)
	}
	e := s.append(t, d)
	s.append(t, ledger.Draft{Kind: "usage.read"}) // the proof has something to prove against
	proof, err := s.log.Proof(t.Context(), e.Index)
	if err != nil {
		t.Fatal(err)
	}
	state, token := disclosure.TimestampNone, []byte(nil)
	if s.witness != nil {
		line, err := s.witness.Cosign(proof.Checkpoint, e.Header.At)
		if err != nil {
			t.Fatal(err)
		}
		proof.Cosignatures = []string{line}
	}
	if s.tsa != nil {
		state, token = disclosure.TimestampToken, s.stamp(t, []byte(proof.Checkpoint))
	}
	if s.receipt, err = disclosure.NewReceipt(d.TaskID, f.PackageSHA256, proof, state, token); err != nil {
		t.Fatal(err)
	}
}

func (s *sample) verify() disclosure.Report {
	return disclosure.Verify(s.sealed, s.receipt, s.trust, seal.AgeIdentity(s.identity))
}

// stamp returns a token of the sample's authority.
func (s *sample) stamp(t *testing.T, text []byte) []byte {
	t.Helper()
	token, err := s.tsa.Client().Stamp(t.Context(), sha256.Sum256(text))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func untar(t *testing.T, plain []byte) map[string]string {
	files := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
}
