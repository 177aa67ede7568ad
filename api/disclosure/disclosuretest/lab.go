package disclosuretest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/watch"
	"griffier/api/register"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/schematest"
)

// Lab is the legal path with everything real. What a test changes in it counts from
// the next [Lab.Restart] on where its field says so.
type Lab struct {
	T          *testing.T
	Pseudonyms *schema.Pseudonymiser
	Dir        string
	Sock       string
	Conn       driver.Conn
	Keys       *keystore.Store
	Register   *register.Register
	Key        *ledger.Key
	signer     *disclosure.Signer
	Identity   *age.X25519Identity
	Noon       time.Time // the instant that questions are about, yesterday or the day before
	Skew       atomic.Int64
	Adrift     atomic.Bool   // nothing keeps the clock
	Limit      time.Duration // of a step of the ledger
	Margin     time.Duration // of the clock; zero: the default
	Logs       slog.Handler
	Folds      []ledger.Fold     // beside the lab's own, at the next start
	Watched    *oversight.Limits // from the next restart on: oversight watches, with these
	Packing    execute.Packing   // from the next restart on
	// Credentials, if set, makes an actor known by a token.
	Credentials func(actor string) context.Context
	Traffic     *Probe

	// What a restart replaces.
	State    *warrant.State
	Holds    *hold.State
	Overseen *oversight.State
	Watching *watch.Watch // nil unless Watched is set
	Keeper   *keep.Keeper
	Held     griffierv1.HoldServiceClient
	Rules    *warrant.Rules
	Log      *ledger.Log
	Book     *Brittle
	Executor *execute.Executor
	Warrants griffierv1.WarrantServiceClient
	Tasks    griffierv1.DisclosureServiceClient
	Packages griffierv1.PackageServiceClient
	Stop     func()
	requests atomic.Int64
}

// Probe counts what the executor reads of the real traffic store, and lets a
// test do something in the middle of it.
type Probe struct {
	*execute.Traffic
	Reads  atomic.Int64
	During func(ctx context.Context) // called between coverage and assignments
}

// Coverage is one read.
func (p *Probe) Coverage(ctx context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error) {
	p.Reads.Add(1)
	return p.Traffic.Coverage(ctx, collectors, from, to)
}

// Assignments is one read, after During.
func (p *Probe) Assignments(ctx context.Context, plan disclosure.Plan) ([]schema.Assignment, error) {
	p.Reads.Add(1)
	if p.During != nil {
		p.During(ctx)
	}
	return p.Traffic.Assignments(ctx, plan)
}

// Brittle is the real ledger, up to the call at which a test lets the server die.
type Brittle struct {
	*ledger.Log
	DieAt atomic.Int64 // the n-th Decide from now ends its goroutine; 0 never
	// Before, if set, is called before each Decide with its context; After, with
	// what was decided.
	Before func(context.Context)
	After  func(ledger.Entry)
}

// Decide decides, or panics with ErrDied.
func (b *Brittle) Decide(ctx context.Context, id string, fn func(time.Time) (ledger.Draft, error)) (ledger.Entry, error) {
	if b.DieAt.Load() > 0 && b.DieAt.Add(-1) == 0 {
		panic(ErrDied)
	}
	if b.Before != nil {
		b.Before(ctx)
	}
	e, err := b.Log.Decide(ctx, id, fn)
	if b.After != nil && err == nil {
		b.After(e)
	}
	return e, err
}

// ErrDied is the panic of a ledger that dies.
var ErrDied = errors.New("the server died here")

// Patience is how long a step of the ledger may take on a busy machine.
const Patience = 30 * time.Second

// Now is the lab's clock: the machine's and Skew.
func (l *Lab) Now() time.Time { return time.Now().Add(time.Duration(l.Skew.Load())) }

// New makes everything anew: an engine, a folder, keys, lines and what they held.
func New(t *testing.T) *Lab {
	t.Helper()
	return NewOf(t, "P10D", schema.ProfileNL)
}

// NewOf is a lab that keeps every class for a period, as a profile may allow.
func NewOf(t *testing.T, period, profile string) *Lab {
	t.Helper()
	l := &Lab{T: t, Dir: t.TempDir(), Sock: schematest.Spared(t).Socket, Limit: Patience, Logs: slog.DiscardHandler}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(l.Dir, "master")))
	_, err := ledger.GenerateKey(filepath.Join(l.Dir, "ledger.key"), "isp.example/griffier")
	must(err)
	l.Identity, err = age.GenerateX25519Identity()
	must(err)
	l.Open()
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "Europe/Amsterdam", Purpose: "faults and complaints", Basis: "test", Source: "test"})
	}
	must(schema.WritePolicy(ctx, l.Conn, profile, policies))
	l.Noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	l.populate(ctx, l.Pseudonyms)
	l.Start()
	t.Cleanup(func() { l.Stop() })
	return l
}

// Open opens what there is in the lab's folder and store, all but the ledger.
func (l *Lab) Open() {
	l.T.Helper()
	must := func(err error) {
		l.T.Helper()
		if err != nil {
			l.T.Fatal(err)
		}
	}
	var err error
	l.Conn, err = schema.Open(l.T.Context(), schema.Config{Socket: l.Sock})
	must(err)
	l.T.Cleanup(func() { l.Conn.Close() })
	l.Keys, err = keystore.Open(filepath.Join(l.Dir, "keys"), filepath.Join(l.Dir, "master"))
	must(err)
	l.Pseudonyms, err = schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	must(err)
	l.Register, err = register.New(register.Config{Conn: l.Conn, Vault: l.Keys, Pseudonyms: l.Pseudonyms, BlindKey: make([]byte, 32), Now: time.Now})
	must(err)
	l.Key, err = ledger.LoadKey(filepath.Join(l.Dir, "ledger.key"))
	must(err)
	l.signer, err = disclosure.NewSigner(bytes.Repeat([]byte{1}, 32))
	must(err)
	l.Traffic = &Probe{Traffic: execute.NewTraffic(l.Conn)}
}
