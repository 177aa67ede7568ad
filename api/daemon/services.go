package daemon

import (
	"context"
	"crypto/tls"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"griffier/api/auth"
	"griffier/api/authority"
	"griffier/api/authority/authorityrpc"
	"griffier/api/backup"
	"griffier/api/clock"
	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/enrol"
	"griffier/api/hold"
	"griffier/api/hold/holdrpc"
	"griffier/api/hold/keep"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/ledger/ledgerrpc"
	"griffier/api/legalbasis"
	"griffier/api/legalbasis/legalbasisrpc"
	"griffier/api/oversight"
	"griffier/api/oversight/oversightrpc"
	"griffier/api/oversight/watch"
	"griffier/api/register"
	"griffier/api/retention"
	"griffier/api/retention/dossier"
	"griffier/api/retention/expiry"
	"griffier/api/retention/retentionrpc"
	"griffier/api/server"
	"griffier/api/signedfile"
	"griffier/api/statistics"
	"griffier/api/subject"
	"griffier/api/support"
	"griffier/api/usage"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// services are the parts of griffierd. Those that are folds exist before the
// ledger opens, since it fills them.
type services struct {
	cfg      Config
	conn     driver.Conn // store.operator
	store    *store
	keys     *keystore.Store
	registry *prometheus.Registry
	log      *slog.Logger

	auth      *auth.Authenticator
	guards    *guards // from Run on
	register  *register.Register
	reads     *server.AccessLog
	codes     *support.Codes
	keeper    *retention.Keeper
	record    *expiry.Record
	verifier  *expiry.Verifier // from Run on
	desk      *retention.Desk  // from Run on
	trusted   signedfile.Trusted
	dossiers  *dossier.Record
	warrants  *warrant.State
	known     *authority.Registry
	overseen  *oversight.State
	watching  *watch.Watch // from Run on
	unkept    *oversightrpc.Keeper
	bases     *legalbasis.Keeper
	basisDesk *legalbasis.Desk // from Run on
	basisKeys signedfile.Trusted
	holds     *hold.State
	held      *keep.Keeper // from server on
	rules     *warrant.Rules
	signer    *disclosure.Signer
	released  *statistics.Releases
	enrolled  *enrol.State
	rights    *subject.State
	subjects  *subject.Desk // from Run on
	copies    *backup.Record
	backups   *backup.Maker     // from Run on
	executor  *execute.Executor // from server on
	documents *document.Keeper  // from server on
	identity  *server.Identity  // from server on; nil without TLS
	leap      *clock.Leap       // from Run on
}

func newServices(cfg Config, store *store, keys *keystore.Store, registry *prometheus.Registry, log *slog.Logger) (*services, error) {
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: cfg.OIDC.Issuer, Audience: cfg.OIDC.Audience, CAFile: cfg.OIDC.CAFile})
	if err != nil {
		return nil, err
	}
	read := func(path string) []byte {
		var key []byte
		if err == nil {
			key, err = readKey(path)
		}
		return key
	}
	actor, blind, code, pseudonym := read(cfg.Keys.ActorFile), read(cfg.Keys.BlindIndexFile), read(cfg.Keys.SupportCodeFile), read(cfg.Keys.PseudonymFile)
	reference, seed := read(cfg.Keys.ReferenceFile), read(cfg.Keys.PackageSigningFile)
	if err != nil {
		return nil, err
	}
	keeper := &retention.Keeper{}
	known, bases, holds := authority.NewRegistry(), legalbasis.NewKeeper(), hold.NewState()
	rules, err := warrant.NewRules(warrant.Rules{Law: bases.Law, DuplicateKey: reference, DoubleEntry: true, RequireDocument: true, PackageExpires: packageExpires(keeper),
		DownloadFor: cfg.Legal.Packages.DownloadFor, AcknowledgedFor: cfg.Legal.Packages.AcknowledgedFor,
		Authorities: func(id string) (warrant.AuthorityView, bool) { return known.View(id, time.Now()) }, HoldLasts: holds.Lasts})
	if err != nil {
		return nil, err
	}
	signer, err := disclosure.NewSigner(seed)
	if err != nil {
		return nil, err
	}
	pseudonyms, err := schema.NewPseudonymiser(pseudonym)
	if err != nil {
		return nil, err
	}
	reg, err := register.New(register.Config{Conn: store.executor, Vault: keys, Pseudonyms: pseudonyms, BlindKey: blind, Now: time.Now})
	if err != nil {
		return nil, err
	}
	return &services{
		cfg: cfg, conn: store.operator, store: store, keys: keys, registry: registry, log: log,
		auth:     &auth.Authenticator{People: people, ActorKey: actor},
		register: reg,
		reads:    server.NewAccessLog(store.executor, time.Now),
		codes:    support.NewCodes(code),
		keeper:   keeper,
		dossiers: &dossier.Record{},
		record:   &expiry.Record{},
		warrants: warrant.NewState(),
		known:    known,
		overseen: oversight.NewState(),
		bases:    bases,
		holds:    holds,
		rules:    rules,
		signer:   signer,
		enrolled: enrol.NewState(),
		rights:   subject.NewState(),
		copies:   &backup.Record{},
		released: &statistics.Releases{},
	}, nil
}

// folds are the states that the ledger fills, in no particular order.
func (s *services) folds() []ledger.Fold {
	return []ledger.Fold{s.reads, s.codes, s.keeper, s.record, s.dossiers, s.warrants, s.known, s.overseen, s.bases, s.holds, s.enrolled, s.released, s.rights, s.copies}
}

// Folds returns fresh states for a ledger to fill, for a check of the whole log
// apart from any service.
func Folds() []ledger.Fold {
	return []ledger.Fold{server.NewAccessLog(nil, time.Now), support.NewCodes(nil), &retention.Keeper{}, &expiry.Record{}, &dossier.Record{}, warrant.NewState(), authority.NewRegistry(), oversight.NewState(), legalbasis.NewKeeper(), hold.NewState(), enrol.NewState(), &statistics.Releases{}, subject.NewState(), &backup.Record{}}
}

// server wires the services to the open ledger, and ends what a crash left
// half done.
func (s *services) server(ctx context.Context, book *ledger.Log) (*server.Server, error) {
	var listener *tls.Config
	if s.cfg.TLS.CertFile != "" {
		var err error
		s.identity, err = server.NewIdentity(server.TLSConfig{CertFile: s.cfg.TLS.CertFile, KeyFile: s.cfg.TLS.KeyFile, ClientCAFile: s.cfg.TLS.ClientCAFile})
		if err != nil {
			return nil, err
		}
		listener = s.identity.TLS()
	}
	var err error
	if s.held, err = s.keeperOfHolds(ctx, book); err != nil {
		return nil, err
	}
	if s.documents, err = s.keeperOfDocuments(book); err != nil {
		return nil, err
	}
	packing, err := s.packing(book)
	if err != nil {
		return nil, err
	}
	s.executor, err = execute.New(execute.Config{
		Book: s.guards.book(book), State: s.warrants, Rules: s.rules, Traffic: execute.NewTraffic(s.store.executor), Lines: s.register, Signer: s.signer,
		Dir: s.cfg.Legal.PackagesDir, Software: software(), ClockMargin: s.cfg.Legal.ClockMargin, AnyClock: !s.cfg.Clock.RequireSync, Now: time.Now, Log: s.log,
		Grace: orNone(s.cfg.Legal.LateArrivalGrace), NeighbourMargin: orNone(s.cfg.Legal.NeighbourMargin),
		AccountingInterval: orNone(s.cfg.Legal.AccountingInterval),
		Clock:              s.judge(book), Holds: s.held, Packing: packing, Conflict: s.watching.Conflict, Resolved: s.watching.Resolved, MayAsk: s.watching.MayAsk,
	})
	if err != nil {
		return nil, err
	}
	if err := s.executor.Recover(ctx); err != nil {
		return nil, err
	}
	s.codes.Attach(book, s.keys, time.Now)
	enrolment, err := s.enrolment(book)
	if err != nil {
		return nil, err
	}
	overseer, err := s.oversight(book)
	if err != nil {
		return nil, err
	}
	reader := usage.NewReader(s.store.portal)
	scope := warrantrpc.Scope{State: s.warrants, HoldOf: s.holds.WarrantOf}
	return server.New(server.Config{
		TLS: listener, Auth: s.auth, Ledger: book, Refuses: s.guards.refuses, Scope: scope.Check, Keys: s.keys, Reads: s.reads,
		Registry: s.registry, Log: s.log, Now: time.Now,
		Register: func(r grpc.ServiceRegistrar) {
			griffierv1.RegisterUsageServiceServer(r, usage.NewService(s.register, reader, s.codes))
			griffierv1.RegisterSupportServiceServer(r, support.NewService(s.codes, s.register, reader, time.Now))
			griffierv1.RegisterWarrantServiceServer(r, warrantrpc.NewService(warrantrpc.Config{
				Book: book, Keys: s.keys, State: s.warrants, Rules: s.rules, Now: time.Now, Ended: s.executor.Ended, Received: s.watching.Received, Edited: s.watching.Edited,
			}))
			griffierv1.RegisterAuthorityServiceServer(r, authorityrpc.NewService(authorityrpc.Config{
				Book: book, Keys: s.keys, Registry: s.known, Warrants: s.warrants, Law: s.rules.Law, Now: time.Now,
			}))
			griffierv1.RegisterIntakeServiceServer(r, s.intake(book))
			griffierv1.RegisterOversightServiceServer(r, overseer)
			griffierv1.RegisterLegalBasisServiceServer(r, legalbasisrpc.NewService(legalbasisrpc.Config{
				Book: book, Keys: s.keys, Keeper: s.bases, Desk: s.basisDesk, Warrants: s.warrants, Trusted: s.basisKeys, Now: time.Now,
			}))
			griffierv1.RegisterDisclosureServiceServer(r, execute.NewService(s.executor))
			griffierv1.RegisterPackageServiceServer(r, execute.NewPackageService(s.executor))
			griffierv1.RegisterHoldServiceServer(r, holdrpc.NewService(book, s.held, s.warrants))
			griffierv1.RegisterStatisticsServiceServer(r, statistics.NewService(s.statistics()))
			griffierv1.RegisterRetentionServiceServer(r, retentionrpc.NewService(retentionrpc.Config{
				Book: book, Keys: s.keys, Keeper: s.keeper, Desk: s.desk, Trusted: s.trusted, Conn: s.conn, Now: time.Now,
			}))
			griffierv1.RegisterExpiryServiceServer(r, expiry.NewService(s.verifier))
			griffierv1.RegisterLedgerServiceServer(r, ledgerrpc.NewService(book, s.guards.watched(), scope.Within))
			griffierv1.RegisterRegisterServiceServer(r, register.NewService(s.register, book))
			griffierv1.RegisterEnrolmentServiceServer(r, enrol.NewService(enrolment))
			griffierv1.RegisterSubjectServiceServer(r, subject.NewService(s.subjects, s.keys))
			griffierv1.RegisterBackupServiceServer(r, backup.NewService(s.backups))
		},
	})
}

// orNone says none in the way of [execute.Config], where zero means the default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// statistics returns what the anonymised volumes are made from and kept in.
func (s *services) statistics() *statistics.Store {
	segments, _ := statistics.NewSegments(s.cfg.Statistics.Segments) // ReadConfig has checked it
	return statistics.NewStore(s.store.executor, segments)
}

// publisher returns the job that publishes them.
func (s *services) publisher(book *ledger.Log) *statistics.Publisher {
	return &statistics.Publisher{Store: s.statistics(), Book: book, Releases: s.released, MinLines: s.cfg.Statistics.MinLines,
		Delay: s.cfg.Statistics.Delay, Clock: s.leap, Now: time.Now, Log: s.log}
}

// packageExpires returns what tells when a fetched package has been kept long
// enough under the policy in force.
func packageExpires(k *retention.Keeper) func(time.Time) (time.Time, bool) {
	return func(fetchedAt time.Time) (time.Time, bool) {
		f, _ := k.InForce()
		rule, ok := f.Rule(retention.ClassPackage)
		if !ok {
			return time.Time{}, false
		}
		at, err := rule.ExpiresAt(fetchedAt)
		return at, err == nil
	}
}

// judge returns what tells whether this host's clock can be believed.
func (s *services) judge(book *ledger.Log) *clock.Judge {
	return &clock.Judge{RequireSync: s.cfg.Clock.RequireSync, LastAt: book.LastAt, Now: time.Now, Read: clock.Read}
}

// shredder returns the job that destroys the keys of dossiers that have expired.
func (s *services) shredder(book *ledger.Log) *dossier.Shredder {
	return &dossier.Shredder{
		Ended: func(at time.Time) (out []dossier.Case) {
			for _, w := range s.warrants.Warrants() {
				switch state := w.State(at); {
				case state == warrant.Expired:
					out = append(out, dossier.Case{WarrantID: w.ID, KeyID: w.KeyID, EndedAt: w.ValidUntil})
				case state.Terminal():
					out = append(out, dossier.Case{WarrantID: w.ID, KeyID: w.KeyID, EndedAt: w.EndedAt})
				}
			}
			return out
		},
		Rule: func() (schema.Policy, bool) {
			f, _ := s.keeper.InForce()
			rule, ok := f.Rule(retention.ClassDossier)
			return rule.Policy, ok
		},
		Keys: s.keys, Book: book, Record: s.dossiers, Clock: sure{s.judge(book), s.leap}, Now: time.Now, Log: s.log,
	}
}

// software is the name and version that manifests carry.
func software() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	return "griffier " + version
}
