package enrol

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/pki"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is the service over a real ledger and CA, whose clock the test sets.
type desk struct {
	*Service
	t    *testing.T
	cfg  ledger.Config
	keys *keystore.Store
	ca   *pki.Authority
	log  *ledger.Log

	mu sync.Mutex
	at time.Time
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *desk) wait(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(by)
}

const life = 30 * 24 * time.Hour

func newDesk(t *testing.T) *desk {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d := &desk{t: t, at: time.Now().UTC().Truncate(time.Second)}
	must(keystore.GenerateMasterKey(in("master.key")))
	must(pki.Init(dir, []string{"localhost"}))
	var err error
	d.keys, err = keystore.Open(in("keys"), in("master.key"))
	must(err)
	d.ca, err = pki.LoadAuthority(in("ca.pem"), in("ca.key"))
	must(err)
	key, err := ledger.GenerateKey(in("key"), "test.example/enrol")
	must(err)
	d.cfg = ledger.Config{Dir: in("log"), WitnessFile: in("witness"), Key: key, Keys: d.keys, Now: d.now, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}
	d.open()
	t.Cleanup(func() { d.log.Close() })
	return d
}

// open opens the ledger, again after a close: the state is then its fold only.
func (d *desk) open() {
	d.t.Helper()
	state := NewState()
	d.cfg.Folds = []ledger.Fold{state}
	var err error
	if d.log, err = ledger.Open(context.Background(), d.cfg); err != nil {
		d.t.Fatal(err)
	}
	d.Service = NewService(Config{Book: d.log, Keys: d.keys, State: state, Authority: d.ca, Life: life,
		Anchor: func() []byte { return d.ca.Certificate().Raw }, Now: d.now})
}

func (d *desk) restart() {
	d.t.Helper()
	if err := d.log.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

var engineer = auth.Caller{Subject: "iss#nina", Actor: strings.Repeat("a", 32), Roles: []griffierv1.Role{griffierv1.Role_ROLE_NETWORK_ENGINEER}}

func (d *desk) engineer() context.Context { return auth.NewContext(d.t.Context(), engineer) }

func (d *desk) token(collector string) string {
	d.t.Helper()
	resp, err := d.CreateEnrolmentToken(d.engineer(), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: collector})
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.GetToken()
}

// fataler is a test, a fuzz target or a property.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// request makes a key and a certificate request for it.
func request(t fataler) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return requestOf(t, key)
}

func requestOf(t fataler, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"griffierd.isp.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// of returns which collector a token is for.
func (d *desk) of(token string) string {
	t, _ := parseToken(token)
	kept, _ := d.State.token(t.id)
	return kept.CollectorID
}

func (d *desk) enrol(token string, request []byte) (*x509.Certificate, error) {
	d.t.Helper()
	resp, err := d.Enrol(d.t.Context(), &griffierv1.EnrolRequest{Token: token, CertificateRequest: request, CollectorId: d.of(token)})
	if err != nil {
		return nil, err
	}
	return d.parse(resp.GetCertificate()), nil
}

// renew calls with a certificate, as the TLS stack would have it verified.
func (d *desk) renew(with *x509.Certificate, request []byte) (*x509.Certificate, error) {
	d.t.Helper()
	caller, ok := auth.Machine(with)
	if !ok {
		d.t.Fatal("the certificate is no machine's")
	}
	caller.Actor = strings.Repeat("b", 32)
	resp, err := d.Renew(auth.NewContext(d.t.Context(), caller), &griffierv1.RenewRequest{CertificateRequest: request})
	if err != nil {
		return nil, err
	}
	return d.parse(resp.GetCertificate()), nil
}

func (d *desk) parse(der []byte) *x509.Certificate {
	d.t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		d.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(d.ca.Certificate())
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: d.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		d.t.Fatal(err)
	}
	if len(cert.DNSNames) != 0 {
		d.t.Errorf("the request's names are in the certificate: %v", cert.DNSNames)
	}
	return cert
}

func (d *desk) want(what string, err error, why reason.Reason) {
	d.t.Helper()
	if reason.Of(err) != why || err == nil && why != "" || err != nil && why == "" {
		d.t.Errorf("%s: %v; want %q", what, err, why)
	}
}

// states lists a collector's certificates, newest first, and how many tokens it has.
func (d *desk) states(collector string) (states string, tokens int) {
	d.t.Helper()
	resp, err := d.ListCollectors(d.engineer(), &griffierv1.ListCollectorsRequest{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range resp.GetCollectors() {
		if c.GetCollectorId() != collector {
			continue
		}
		for _, x := range c.GetCertificates() {
			states += strings.ToLower(strings.TrimPrefix(x.GetState().String(), "CERTIFICATE_STATE_"))[:3] + " "
		}
		return strings.TrimSpace(states), len(c.GetTokens())
	}
	return "", 0
}

func (d *desk) wantStates(what, collector, states string, tokens int) {
	d.t.Helper()
	if s, n := d.states(collector); s != states || n != tokens {
		d.t.Errorf("%s: certificates %q and %d tokens, want %q and %d", what, s, n, states, tokens)
	}
}

func TestATokenIsGoodForOneKey(t *testing.T) {
	d := newDesk(t)
	token, mine := d.token("edge1"), request(t)
	d.wantStates("made", "edge1", "", 1)
	cert, err := d.enrol(token, mine)
	d.want("first", err, "")
	if got := cert.URIs[1].String(); got != "griffier://collector/edge1" || !cert.NotAfter.Equal(d.now().Add(life)) {
		t.Errorf("certificate of %s until %v", got, cert.NotAfter)
	}
	d.wantStates("exchanged", "edge1", "cur", 0)
	_, err = d.enrol(token, request(t))
	d.want("replayed with another key", err, reason.EnrolmentRefused)
	again, err := d.enrol(token, mine)
	d.want("asked again by the same key", err, "")
	if !again.Equal(cert) {
		t.Error("the same key got another certificate")
	}
	d.restart()
	if again, err = d.enrol(token, mine); err != nil || !again.Equal(cert) {
		t.Errorf("after a restart: %v", err)
	}
	_, err = d.enrol(token, request(t))
	d.want("replayed after a restart", err, reason.EnrolmentRefused)
	d.wantStates("in the end", "edge1", "cur", 0)
	d.wait(time.Hour)
	_, err = d.enrol(token, mine)
	d.want("the same key when the token has expired", err, reason.EnrolmentRefused)
}

func TestTokensThatAreNotTaken(t *testing.T) {
	d := newDesk(t)
	good := d.token("edge1")
	parts := strings.Split(good, "-")
	for what, token := range map[string]string{
		"none": "", "garbage": "x", "another secret": parts[0] + "-" + strings.Repeat("A", 26),
		"an id that is not there": "0000000000000000-" + parts[1], "the id alone": parts[0], "with a newline": good + "\n",
	} {
		_, err := d.enrol(token, request(t))
		d.want(what, err, reason.EnrolmentRefused)
		if _, malformed := d.enrol(token, nil); reason.Of(malformed) != reason.EnrolmentRefused || malformed.Error() != err.Error() {
			t.Errorf("%s, without a request: %v; it differs from %v", what, malformed, err)
		}
		d.wait(2 * triesEvery)
	}
	_, err := d.enrol(good, nil)
	d.want("a good one without a request", err, reason.InvalidRequest)
	_, err = d.Enrol(t.Context(), &griffierv1.EnrolRequest{Token: good, CertificateRequest: request(t), CollectorId: "edge2"})
	d.want("a good one in another's hands", err, reason.InvalidRequest)
	d.wait(defaultTokenLife - time.Duration(12*triesEvery) - time.Millisecond)
	late := d.token("edge2")
	_, err = d.enrol(good, request(t))
	d.want("at the last moment", err, "")
	if _, err := d.RevokeEnrolmentToken(d.engineer(), &griffierv1.RevokeEnrolmentTokenRequest{TokenId: late[:16]}); err != nil {
		t.Fatal(err)
	}
	_, err = d.enrol(late, request(t))
	d.want("revoked", err, reason.EnrolmentRefused)
	_, err = d.RevokeEnrolmentToken(d.engineer(), &griffierv1.RevokeEnrolmentTokenRequest{TokenId: late[:16]})
	d.want("revoked again", err, reason.NotFound)
	expired := d.token("edge3")
	d.wait(defaultTokenLife)
	_, err = d.enrol(expired, request(t))
	d.want("expired", err, reason.EnrolmentRefused)
	d.restart()
	_, err = d.enrol(late, request(t))
	d.want("revoked, after a restart", err, reason.EnrolmentRefused)
	// Nothing of a token but its id and hash is in the log.
	entries, err := d.log.Read(t.Context(), 0, 100)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		body, err := d.log.Body(e)
		if err != nil {
			t.Fatal(err)
		}
		clear, err := json.Marshal(e.Header) // a sealed body says anybody's name by chance
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{parts[1], late[17:], "#nina"} {
			if strings.Contains(string(clear), secret) || secret != "#nina" && strings.Contains(string(body), secret) {
				t.Errorf("entry %d: %q is in it", e.Index, secret)
			}
		}
	}
}

func TestRenewal(t *testing.T) {
	d := newDesk(t)
	first, err := d.enrol(d.token("edge1"), request(t))
	d.want("enrol", err, "")
	d.wait(life * 2 / 3)
	second, err := d.renew(first, request(t))
	d.want("renew", err, "")
	if second.URIs[1].String() != "griffier://collector/edge1" || !second.NotAfter.Equal(d.now().Add(life)) {
		t.Errorf("renewed: %v until %v", second.URIs, second.NotAfter)
	}
	d.wantStates("renewed", "edge1", "cur rep", 0)
	// The answer was lost: it asks again, with the same key or a new one.
	mine := request(t)
	third, err := d.renew(first, mine)
	d.want("renew the first again", err, "")
	if same, err := d.renew(first, mine); err != nil || !same.Equal(third) {
		t.Errorf("the same request again: %v; want the same certificate", err)
	}
	_, err = d.renew(second, request(t))
	d.want("the one that was given up", err, reason.EnrolmentRefused)
	fourth, err := d.renew(third, request(t))
	d.want("renew what is used", err, "")
	_, err = d.renew(first, request(t))
	d.want("a copy of the first, once the third was used", err, reason.EnrolmentRefused)
	d.restart()
	_, err = d.renew(first, request(t))
	d.want("that, after a restart", err, reason.EnrolmentRefused)
	d.wait(life)
	_, err = d.renew(fourth, request(t))
	d.want("expired", err, reason.EnrolmentRefused)
	d.wantStates("expired", "edge1", "exp exp exp exp", 0)
	fifth, err := d.enrol(d.token("edge1"), request(t))
	d.want("enrol again", err, "")
	d.wantStates("enrolled again", "edge1", "cur", 0)
	d.wait(time.Second)
	_, err = d.renew(fifth, []byte("no request"))
	d.want("a malformed request", err, reason.InvalidRequest)
}

func TestACertificateOfOurCAThatWasNotIssuedHereIsNotRenewed(t *testing.T) {
	d := newDesk(t)
	if _, err := d.enrol(d.token("edge1"), request(t)); err != nil {
		t.Fatal(err)
	}
	key, err := ParseRequest(request(t))
	if err != nil {
		t.Fatal(err)
	}
	der, err := d.ca.IssueCollector("edge1", key.Public, d.now(), life)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.renew(d.parse(der), request(t))
	d.want("unknown serial", err, reason.EnrolmentRefused)
}

func TestRevokedMeansOut(t *testing.T) {
	d := newDesk(t)
	cert, err := d.enrol(d.token("edge1"), request(t))
	d.want("enrol", err, "")
	other, err := d.enrol(d.token("edge2"), request(t))
	d.want("enrol another", err, "")
	pending, used := d.token("edge1"), request(t)
	spent := d.token("edge1")
	d.want("spend", func() error { _, err := d.enrol(spent, used); return err }(), "")
	if _, err := d.RevokeCollector(d.engineer(), &griffierv1.RevokeCollectorRequest{CollectorId: "edge1"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = d.renew(cert, request(t))
		d.want("renew", err, reason.EnrolmentRefused)
		_, err = d.enrol(pending, request(t))
		d.want("a token from before", err, reason.EnrolmentRefused)
		_, err = d.enrol(spent, used)
		d.want("what was spent, again", err, reason.EnrolmentRefused)
		d.wantStates("revoked", "edge1", "rev rev", 0)
		d.restart()
	}
	_, err = d.renew(other, request(t))
	d.want("another collector", err, "")
	if _, err = d.enrol(d.token("edge1"), request(t)); err != nil {
		t.Errorf("a new token: %v", err)
	}
	_, err = d.renew(cert, request(t))
	d.want("the old certificate, let in again", err, reason.EnrolmentRefused)
	_, err = d.RevokeCollector(d.engineer(), &griffierv1.RevokeCollectorRequest{CollectorId: "edge9"})
	d.want("unknown", err, reason.NotFound)
}

// TestRacingKeysShareNoToken: of several keys that come with one token at the
// same moment, one gets a certificate.
func TestRacingKeysShareNoToken(t *testing.T) {
	d := newDesk(t)
	token := d.token("edge1")
	won := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for range 8 {
		mine := request(t)
		wg.Go(func() {
			_, err := d.Enrol(context.Background(), &griffierv1.EnrolRequest{Token: token, CertificateRequest: mine, CollectorId: "edge1"})
			if err == nil {
				won <- struct{}{}
			} else if reason.Of(err) != reason.EnrolmentRefused {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d keys got a certificate, want one", len(won))
	}
	d.wantStates("after the race", "edge1", "cur", 0)
}

func TestBounds(t *testing.T) {
	d := newDesk(t)
	for range maxOpenTokens {
		d.token("edge1")
	}
	_, err := d.CreateEnrolmentToken(d.engineer(), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: "edge1"})
	d.want("one token more", err, reason.RateLimited)
	cert, err := d.enrol(d.token("edge2"), request(t))
	d.want("enrol", err, "")
	for range maxIssues - 1 {
		if cert, err = d.renew(cert, request(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.renew(cert, request(t))
	d.want("one renewal more", err, reason.RateLimited)
	d.wait(issuesInterval)
	_, err = d.renew(cert, request(t))
	d.want("an hour later", err, "")
	for what, req := range map[string]*griffierv1.CreateEnrolmentTokenRequest{
		"no id":     {},
		"a path":    {CollectorId: "a/b"},
		"a day":     {CollectorId: "x", ValidFor: durationpb.New(MaxTokenLife + time.Second)},
		"no time":   {CollectorId: "x", ValidFor: durationpb.New(0)},
		"a newline": {CollectorId: "x\n"},
	} {
		_, err := d.CreateEnrolmentToken(d.engineer(), req)
		d.want(what, err, reason.InvalidRequest)
	}
	_, err = d.CreateEnrolmentToken(t.Context(), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: "x"})
	d.want("by nobody", err, reason.Unauthenticated)
	_, err = d.Renew(auth.NewContext(t.Context(), engineer), &griffierv1.RenewRequest{})
	d.want("renewal by a person", err, reason.Unauthenticated)
}

func TestTriesAreBoundedByTheirSource(t *testing.T) {
	d := newDesk(t)
	from := func(address string) error {
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 999}})
		_, err := d.Enrol(ctx, &griffierv1.EnrolRequest{Token: "x"})
		return err
	}
	for range triesBurst {
		d.want("within the burst", from("2001:db8::1"), reason.EnrolmentRefused)
	}
	d.want("past it", from("2001:db8::2"), reason.RateLimited)
	d.want("another network", from("2001:db8:0:1::1"), reason.EnrolmentRefused)
	d.want("IPv4", from("192.0.2.1"), reason.EnrolmentRefused)
	d.wait(triesEvery)
	d.want("a little later", from("2001:db8::1"), reason.EnrolmentRefused)
	// A table full of strangers turns more of them away, and forgets the idle.
	d.tries.sources = map[netip.Prefix]*rate.Limiter{}
	for i := range maxSources {
		d.tries.allow(peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}}), d.now())
	}
	d.want("a full table", from("192.0.2.1"), reason.RateLimited)
	d.wait(triesEvery)
	d.want("when it is idle", from("192.0.2.1"), reason.EnrolmentRefused)
}

func TestWithoutALedgerOrCANothingIsIssued(t *testing.T) {
	d := newDesk(t)
	token := d.token("edge1")
	cert, err := d.enrol(d.token("edge2"), request(t))
	d.want("enrol", err, "")
	d.Authority = nil
	_, err = d.enrol(token, request(t))
	d.want("without a CA", err, reason.NotConfigured)
	_, err = d.renew(cert, request(t))
	d.want("renewal without a CA", err, reason.NotConfigured)
	_, err = d.CreateEnrolmentToken(d.engineer(), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: "x"})
	d.want("a token without a CA", err, reason.NotConfigured)
	if !strings.Contains(err.Error(), "enrolment.ca_key_file") {
		t.Errorf("%v does not say what to configure", err)
	}
	d.wantStates("it still lists", "edge2", "cur", 0)
	d.Authority = d.ca
	d.log.Close()
	_, err = d.enrol(token, request(t))
	d.want("without a ledger", err, reason.LedgerUnavailable)
	_, err = d.renew(cert, request(t))
	d.want("renewal without a ledger", err, reason.LedgerUnavailable)
	_, err = d.RevokeCollector(d.engineer(), &griffierv1.RevokeCollectorRequest{CollectorId: "edge2"})
	d.want("revocation without a ledger", err, reason.LedgerUnavailable)
}

// TestStateIsTheFold compares the state after a history with that of a restart.
func TestStateIsTheFold(t *testing.T) {
	d := newDesk(t)
	cert, err := d.enrol(d.token("edge1"), request(t))
	d.want("enrol", err, "")
	d.wait(time.Minute)
	_, err = d.renew(cert, request(t))
	d.want("renew", err, "")
	if _, err := d.enrol(d.token("edge2"), request(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.RevokeCollector(d.engineer(), &griffierv1.RevokeCollectorRequest{CollectorId: "edge2"}); err != nil {
		t.Fatal(err)
	}
	d.token("edge3")
	before := d.State
	d.restart()
	if !reflect.DeepEqual(before.collectors, d.State.collectors) || !reflect.DeepEqual(before.tokens, d.State.tokens) {
		t.Errorf("after the restart %+v, before %+v", d.State, before)
	}
	if len(before.collectors) != 2 || len(before.tokens) != 3 {
		t.Errorf("%d collectors and %d tokens, want 2 and 3", len(before.collectors), len(before.tokens))
	}
	for _, kind := range []string{KindTokenCreated, KindTokenRevoked, KindEnrolled, KindRenewed, KindRevoked} {
		if err := NewState().Apply(ledger.Entry{Header: ledger.Header{Kind: kind, Facts: []byte(`{"token_id":5,"collector_id":5}`)}}); err == nil {
			t.Errorf("%s: a damaged entry was applied", kind)
		}
	}
	if err := NewState().Apply(ledger.Entry{Header: ledger.Header{Kind: KindEnrolled, Facts: []byte(`{"collector_id":"x","certificate":"AA=="}`)}}); err == nil {
		t.Error("an entry with no certificate in it was applied")
	}
}
