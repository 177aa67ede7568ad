package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/auth"
	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// office is the legal path as griffierd has it, less its network: register, keys,
// ledger, services and executor, with clocks around what the executor calls.
type office struct {
	log      *ledger.Log
	executor *execute.Executor
	warrants *warrantrpc.Service
	tasks    *execute.Service
	people   *register.Register
	identity *age.X25519Identity
	trust    disclosure.Trust
	traffic  timedTraffic
	clocked  clocked
	asked    int
}

var officer = warrant.Caller{Actor: "0ff1ce", Roles: []warrant.Role{warrant.LegalOfficer}}

// clocked is how long the parts of a task took.
type clocked struct {
	ledger, query, register            time.Duration
	ledgers, queries, registers, seals []time.Duration
}

// add keeps the parts of one task; what is left of the whole is the seal's.
func (c *clocked) add(one clocked, whole time.Duration) {
	c.ledgers, c.queries, c.registers = append(c.ledgers, one.ledger), append(c.queries, one.query), append(c.registers, one.register)
	c.seals = append(c.seals, whole-one.ledger-one.query-one.register)
}

// since adds to a part the time that passed: defer since(&part, time.Now()).
func since(part *time.Duration, began time.Time) { *part += time.Since(began) }

type timedBook struct {
	*ledger.Log
	took *time.Duration
}

func (b timedBook) Decide(ctx context.Context, id string, fn func(time.Time) (ledger.Draft, error)) (ledger.Entry, error) {
	defer since(b.took, time.Now())
	return b.Log.Decide(ctx, id, fn)
}

func (b timedBook) Read(ctx context.Context, start uint64, n int) ([]ledger.Entry, error) {
	defer since(b.took, time.Now())
	return b.Log.Read(ctx, start, n)
}

func (b timedBook) Proof(ctx context.Context, index uint64) (ledger.Proof, error) {
	defer since(b.took, time.Now())
	return b.Log.Proof(ctx, index)
}

type timedTraffic struct {
	*execute.Traffic
	took *time.Duration
}

func (t timedTraffic) Limits(ctx context.Context) (map[schema.Class]schema.Limit, error) {
	defer since(t.took, time.Now())
	return t.Traffic.Limits(ctx)
}

func (t timedTraffic) Coverage(ctx context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error) {
	defer since(t.took, time.Now())
	return t.Traffic.Coverage(ctx, collectors, from, to)
}

func (t timedTraffic) Assignments(ctx context.Context, p disclosure.Plan) ([]schema.Assignment, error) {
	defer since(t.took, time.Now())
	return t.Traffic.Assignments(ctx, p)
}

type timedLines struct {
	*register.Register
	took *time.Duration
}

func (l timedLines) RangesOf(ctx context.Context, address netip.Addr, start, end time.Time) ([]register.Range, error) {
	defer since(l.took, time.Now())
	return l.Register.RangesOf(ctx, address, start, end)
}

func (l timedLines) LinesOfRefs(ctx context.Context, refs []schema.AccessRef, start, end time.Time) ([]register.Held, error) {
	defer since(l.took, time.Now())
	return l.Register.LinesOfRefs(ctx, refs, start, end)
}

func (l timedLines) Identity(ctx context.Context, lineID string, instant time.Time) (register.Person, error) {
	defer since(l.took, time.Now())
	return l.Register.Identity(ctx, lineID, instant)
}

// newOffice opens an office in dir over a store that was filled with so many lines.
func newOffice(ctx context.Context, conn driver.Conn, lines int, dir string) (*office, error) {
	o := &office{}
	state := warrant.NewState()
	log, _, err := openBenchLedger(dir, state)
	if err != nil {
		return nil, err
	}
	o.log = log
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	key, err := ledger.LoadKey(filepath.Join(dir, "signing.key"))
	if err != nil {
		return nil, err
	}
	pseudonyms, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	if err != nil {
		return nil, err
	}
	o.people, err = register.New(register.Config{Conn: conn, Vault: keys, Pseudonyms: pseudonyms, BlindKey: make([]byte, 32), Now: time.Now})
	if err != nil {
		return nil, err
	}
	if err := registerLines(ctx, conn, o.people, lines); err != nil {
		return nil, err
	}
	signer, err := disclosure.NewSigner(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		return nil, err
	}
	if o.identity, err = age.GenerateX25519Identity(); err != nil {
		return nil, err
	}
	o.trust = disclosure.Trust{PackageKey: signer.Public(), LedgerOrigin: key.Signer.Name(), LedgerKey: key.Public}
	profile, err := warrant.LoadProfile("nl")
	if err != nil {
		return nil, err
	}
	rules, err := warrant.NewRules(warrant.Rules{Law: warrant.Always(profile),
		Authorities: warranttest.Registry(o.identity.Recipient().String()), DuplicateKey: make([]byte, 32)})
	if err != nil {
		return nil, err
	}
	o.traffic = timedTraffic{execute.NewTraffic(conn), &o.clocked.query}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	o.executor, err = execute.New(execute.Config{Book: timedBook{log, &o.clocked.ledger}, State: state, Rules: rules, Traffic: o.traffic,
		Lines: timedLines{o.people, &o.clocked.register}, Signer: signer, Dir: filepath.Join(dir, "packages"), Software: "griffier bench", Now: time.Now, Log: quiet})
	if err != nil {
		return nil, err
	}
	o.tasks = execute.NewService(o.executor)
	o.warrants = warrantrpc.NewService(warrantrpc.Config{Book: log, Keys: keys, State: state, Rules: rules, Now: time.Now, Ended: o.executor.Ended})
	return o, o.executor.Recover(ctx)
}

func lineName(line int) string { return fmt.Sprintf("line-%d", line) }

// registerLines stores every line of the fill, the ranges that they are in, and
// that four collectors saw all of it. Persons come with the questions.
func registerLines(ctx context.Context, conn driver.Conn, people *register.Register, lines int) error {
	for _, statement := range []string{
		`INSERT INTO register.line_access (line_id, access_ref, valid_from, valid_to, version)
			SELECT concat('line-', toString(number)), sipHash128(toUInt64(number)), toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), 1
			FROM numbers(toUInt64(?))`,
		`INSERT INTO register.line (line_id, account_id, time_zone, billing_day, contract_start, contract_end, version)
			SELECT concat('line-', toString(number)), concat('account-', toString(number)), 'Europe/Amsterdam', 1,
				toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), 1
			FROM numbers(toUInt64(?))`,
	} {
		if err := conn.Exec(ctx, statement, lines); err != nil {
			return fmt.Errorf("register lines: %w", err)
		}
	}
	collectors := []string{"edge0", "edge1", "edge2", "edge3"}
	for _, prefix := range []string{"203.0.0.0/12", "2001:db8::/32"} {
		err := people.PutRange(ctx, register.Range{Prefix: netip.MustParsePrefix(prefix), CollectorIDs: collectors,
			ValidFrom: time.Now().AddDate(-1, 0, 0), ValidTo: schema.Forever})
		if err != nil {
			return err
		}
	}
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	var coverage []schema.Record
	for day := 1; day <= fillDays+1; day++ {
		for n, collector := range collectors {
			began := midnight.AddDate(0, 0, -day)
			coverage = append(coverage, &schema.Coverage{CoverageID: schema.ID{byte(day), byte(n), 1}, CollectorID: collector, State: schema.Covered,
				StartedAt: began, EndedAt: began.AddDate(0, 0, 1), Version: 1, BootID: "bench", ClockSynced: true})
		}
	}
	return schema.Insert(ctx, conn, "coverage", coverage)
}

// subscribe gives the lines of the questions their persons.
func (o *office) subscribe(ctx context.Context, questions []asked) error {
	done := map[int]bool{}
	for _, q := range questions {
		for _, n := range q.lines {
			if done[n] {
				continue
			}
			done[n] = true
			err := o.people.PutLine(ctx, register.Line{LineID: lineName(n), AccountID: fmt.Sprintf("account-%d", n), TimeZone: "Europe/Amsterdam", BillingDay: 1,
				ContractStart: time.Now().AddDate(-1, 0, 0), ContractEnd: schema.Forever}, nil, register.Person{Name: fmt.Sprintf("Person %d", n),
				InstallationAddress: register.PostalAddress{Street: "Dorpsstraat", HouseNumber: fmt.Sprint(n), Postcode: "1234 AB", Town: "Ons Dorp", Country: "NL"}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// approved makes warrants over the questions, ten targets each, has each approved
// by two people, and returns a task for each question.
func (o *office) approved(ctx context.Context, questions []asked) ([]string, error) {
	as := func(actor string, role griffierv1.Role) context.Context {
		return auth.NewContext(ctx, auth.Caller{Actor: actor, Subject: actor, AuthenticatedAt: time.Now(), Roles: []griffierv1.Role{role}})
	}
	clerk, second := as(officer.Actor, griffierv1.Role_ROLE_LEGAL_OFFICER), as("a44", griffierv1.Role_ROLE_LEGAL_APPROVER)
	request := func() string { o.asked++; return fmt.Sprintf("bench-request-%d", o.asked) }
	now := time.Now()
	var tasks []string
	for len(tasks) < len(questions) {
		some := questions[len(tasks):min(len(tasks)+warrant.DefaultThirdApproverAbove, len(questions))]
		content := &griffierv1.WarrantContent{
			LegalBasis: "NL-126na", Authority: "NL-OM-Amsterdam", Reference: fmt.Sprintf("PV %d", len(tasks)), RequestedBy: "J. de Vries",
			IssuedAt: now.Add(-time.Hour).Format(time.RFC3339), ValidFrom: now.Add(-time.Minute).Format(time.RFC3339), ValidUntil: now.Add(12 * time.Hour).Format(time.RFC3339),
			DocumentSha256: strings.Repeat("ab", 32), Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_IDENTITY},
			WindowStart: now.AddDate(0, 0, -fillDays-2).Format(time.RFC3339), WindowEnd: now.Format(time.RFC3339), Recipient: o.identity.Recipient().String(),
		}
		for _, q := range some {
			if target := q.address.String(); !slices.Contains(content.Targets, target) {
				content.Targets = append(content.Targets, target)
			}
		}
		w, err := o.warrants.CreateWarrant(clerk, &griffierv1.CreateWarrantRequest{RequestId: request(), Content: content})
		if err == nil {
			w, err = o.warrants.VerifyWarrant(clerk, &griffierv1.VerifyWarrantRequest{RequestId: request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				ContentSha256: w.ContentSha256, Number: warranttest.CallBack, Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
		}
		for _, who := range []context.Context{clerk, second} {
			if err == nil {
				w, err = o.warrants.ApproveWarrant(who, &griffierv1.ApproveWarrantRequest{RequestId: request(), WarrantId: w.WarrantId,
					ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
			}
		}
		if err != nil {
			return nil, fmt.Errorf("approve a warrant: %w", err)
		}
		for _, q := range some {
			req := &griffierv1.CreateTaskRequest{RequestId: request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: q.address.String(), Instant: q.instant.Format(time.RFC3339), Port: uint32(q.port)}
			if q.port != 0 {
				req.Protocol = griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_TCP
			}
			task, err := o.tasks.CreateTask(clerk, req)
			if err != nil {
				return nil, fmt.Errorf("create a task: %w", err)
			}
			tasks = append(tasks, task.TaskId)
		}
	}
	return tasks, nil
}
