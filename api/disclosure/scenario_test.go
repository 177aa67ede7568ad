package disclosure_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"griffier/api/auth"
	"griffier/api/auth/demoidp"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/execute"
	"griffier/api/ledger"
	"griffier/api/server"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// The files scenario_NN_…_test.go play the adversarial scenarios against which the
// legal path was designed, each quoted above its test. They share the lab of
// [disclosuretest], so that nothing is played that the product does not have. All of
// them, with kill -9 and a full disk at every step:
//
//	go test ./api/disclosure ./api/disclosure/execute -run 'TestScenario|TestSeed|TestInterleavings|TestKilled|TestDiskFull'
//
// Of some the rest is elsewhere: the thousand interleavings of scenario 3 in
// [TestInterleavings], linked orders and walks of 6 and 15 in watched_test.go, the
// witness of 7 and the second sink of 8 in packages ledger/witness and ledger/sink, and
// the sixty days of 9 in execute's TestDeletionUnderHold.

// lab is the legal path, with what only the tests of this package do.
type lab struct{ *disclosuretest.Lab }

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{disclosuretest.New(t)}
}

// staff are those who can log in where the lab has its gate.
var staff = []demoidp.Person{
	{Subject: "0ff1", Roles: []string{"legal_officer"}},
	{Subject: "a44r", Roles: []string{"legal_approver"}},
	{Subject: "two hats", Roles: []string{"legal_officer", "legal_approver"}},
	{Subject: "support", Roles: []string{"support"}},
	{Subject: "overseer", Roles: []string{"overseer"}},
}

// gate puts griffierd's own server in front of the services: tokens of an identity
// provider, access rules, step-up, and entries of what it refuses.
func (l *lab) gate() {
	l.T.Helper()
	var provider *demoidp.Provider
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { provider.ServeHTTP(w, r) }))
	l.T.Cleanup(idp.Close)
	provider, err := demoidp.New(demoidp.Config{Issuer: idp.URL, Audience: "griffier", People: staff})
	if err != nil {
		l.T.Fatal(err)
	}
	ca := filepath.Join(l.Dir, "idp.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600); err != nil {
		l.T.Fatal(err)
	}
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: idp.URL, Audience: "griffier", CAFile: ca})
	if err != nil {
		l.T.Fatal(err)
	}
	srv, err := server.New(server.Config{Auth: &auth.Authenticator{People: people, ActorKey: auth.ActorKey(bytes.Repeat([]byte{7}, 32))},
		Ledger: l.Log, Keys: l.Keys, Registry: prometheus.NewRegistry(), Log: slog.New(l.Logs), Now: time.Now,
		Register: func(r grpc.ServiceRegistrar) {
			griffierv1.RegisterWarrantServiceServer(r, warrantrpc.NewService(warrantrpc.Config{Book: l.Book, Keys: l.Keys, State: l.State, Rules: l.Rules,
				Now: l.Now, Ended: l.Executor.Ended}))
			griffierv1.RegisterDisclosureServiceServer(r, execute.NewService(l.Executor))
		}})
	if err != nil {
		l.T.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener, time.Second) }()
	client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		l.T.Fatal(err)
	}
	l.Warrants, l.Tasks = griffierv1.NewWarrantServiceClient(client), griffierv1.NewDisclosureServiceClient(client)
	l.Credentials = func(actor string) context.Context {
		token, err := provider.Token(actor, time.Now())
		if err != nil {
			l.T.Fatal(err)
		}
		return metadata.AppendToOutgoingContext(l.T.Context(), "authorization", "Bearer "+token)
	}
	l.T.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-served; err != nil {
			l.T.Errorf("serve: %v", err)
		}
	})
}

// since returns the entries from an index on.
func (l *lab) since(index uint64) []ledger.Entry { return l.Entries()[index:] }

// lineNames finds ids of lines, and not what is outline-conformant.
var lineNames = regexp.MustCompile(`\bline-\w+`)

// reveals tells which of what identifies the lab's subscribers a text has.
func reveals(text string) (found []string) {
	text = disclosuretest.Legible(text)
	for _, secret := range []string{"Jansen", "Alice", "Bob", "alice", "bob", "Dorpsstraat", "Betaalweg", "1234 AB", "account-", "@isp.example"} {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return append(found, lineNames.FindAllString(text, 3)...)
}

// newGatedLab is a lab behind its gate.
func newGatedLab(t *testing.T) *lab {
	l := newLab(t)
	l.gate()
	return l
}
