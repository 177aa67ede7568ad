package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/oversightrpc"
	"griffier/api/oversight/watch"
	"griffier/api/subject"
	"griffier/schema"
)

// OversightConfig says how much is too much. No limit can be switched off.
type OversightConfig struct {
	// WarrantsPerAuthorityHour is how many warrants of one authority are taken in
	// an hour. Default 50.
	WarrantsPerAuthorityHour int `yaml:"warrants_per_authority_hour"`
	// TasksPerOfficerDay is how many tasks one officer makes in 24 hours. Default 100.
	TasksPerOfficerDay int `yaml:"tasks_per_officer_day"`
	// WalkLength is how many neighbouring addresses, named by several warrants within
	// a day, are an alarm. Default 4, least 2.
	WalkLength int `yaml:"walk_length"`
	// StaffListDays is after how many days the list of staff's lines is to be looked at
	// again. Default 92.
	StaffListDays int `yaml:"staff_list_days"`
}

const maxLimit = 100_000

var defaultOversight = OversightConfig{WarrantsPerAuthorityHour: oversight.DefaultWarrantsPerAuthorityHour,
	TasksPerOfficerDay: oversight.DefaultTasksPerOfficerDay, WalkLength: oversight.DefaultWalkLength, StaffListDays: oversight.DefaultStaffListDays}

func (c OversightConfig) validate() error {
	for _, l := range []struct {
		key   string
		value int
		least int
	}{{"warrants_per_authority_hour", c.WarrantsPerAuthorityHour, 1}, {"tasks_per_officer_day", c.TasksPerOfficerDay, 1}, {"walk_length", c.WalkLength, 2},
		{"staff_list_days", c.StaffListDays, 1}} {
		if l.value < l.least || l.value > maxLimit {
			return fmt.Errorf("oversight.%s must be between %d and %d", l.key, l.least, maxLimit)
		}
	}
	return nil
}

func (c OversightConfig) limits() oversight.Limits {
	return oversight.Limits{WarrantsPerAuthorityHour: c.WarrantsPerAuthorityHour, TasksPerOfficerDay: c.TasksPerOfficerDay, WalkLength: c.WalkLength, StaffListDays: c.StaffListDays}
}

// newWatch makes the watch over the legal work.
func (s *services) newWatch(book *ledger.Log) *watch.Watch {
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_secrecy_due",
		Help: "Warrants whose authority should be asked whether their disclosures are still secret: asked last, or disclosed, 90 days ago."},
		func() float64 { return float64(s.overseen.SecrecyDue(s.warrants, time.Now())) }))
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_staff_list_due",
		Help: "1 when the list of staff's lines is older than oversight.staff_list_days, or there is none: conflicts of interest may go unseen."},
		func() float64 {
			if s.overseen.StaffListDue(time.Now(), s.cfg.Oversight.limits()) {
				return 1
			}
			return 0
		}))
	return watch.New(watch.Config{Staff: s.register, Book: book, Keys: s.keys, State: s.overseen, Limits: s.cfg.Oversight.limits(),
		Now: time.Now, Leap: s.leap.Check, Log: s.log}, s.registry)
}

// oversight returns the overseer's service.
func (s *services) oversight(book *ledger.Log) (*oversightrpc.Service, error) {
	zone, err := time.LoadLocation(s.rules.Law().Zone())
	if err != nil {
		return nil, fmt.Errorf("zone of the legal profile: %w", err)
	}
	s.unkept = &oversightrpc.Keeper{Book: book, State: s.overseen, Warrants: s.warrants, Copy: s.executor.KeepUnexecuted, Log: s.log}
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "griffier_non_executions_unpreserved",
		Help: "Non-executions whose data the law wants preserved, and is not yet: tried again every minute."},
		func() float64 { return float64(len(s.overseen.Unkept())) }))
	return oversightrpc.NewService(oversightrpc.Config{
		Book: book, Keys: s.keys, State: s.overseen, Warrants: s.warrants, Holds: s.holds, Rules: s.rules, Limits: s.cfg.Oversight.limits(),
		Staff: s.register, Zone: zone, Now: time.Now, Leap: s.leap.Check, Health: s.health, Kept: s.unkept,
		Pseudonym: func(account string) string { return s.auth.ActorKey.Actor(s.cfg.OIDC.Issuer + "#" + account) },
	}), nil
}

// health tells of those who have the ledger elsewhere, and of the last check of it.
func (s *services) health() []oversightrpc.Health {
	part := func(name string, ok bool, format string, args ...any) oversightrpc.Health {
		return oversightrpc.Health{Part: name, OK: ok, Detail: fmt.Sprintf(format, args...)}
	}
	var out []oversightrpc.Health
	if c := s.guards.watcher.Last(); !c.At.IsZero() {
		out = append(out, part("ledger check", len(c.Problems) == 0, "%d entries at %s, %d problems, %d doubts", c.Size, c.At.UTC().Format(time.RFC3339), len(c.Problems), len(c.Doubts)))
	}
	if s.guards.gatherer != nil {
		for _, w := range s.guards.gatherer.Witnesses() {
			out = append(out, part("witness "+w.Name, !w.Alarm, "%d entries, %v behind", w.Size, w.Lag.Round(time.Second)))
		}
	}
	if s.guards.shipper != nil {
		v := s.guards.shipper.Status()
		out = append(out, part("sink "+v.Name, !v.Alarm, "%d entries, %v behind", v.Size, v.Lag.Round(time.Second)))
	}
	return out
}

// disclosures returns what a person may be told of disclosures about a line.
func (s *services) disclosures(ctx context.Context, lineID string) ([]subject.Disclosure, error) {
	found, err := s.watching.Disclosures(ctx, s.warrants, lineID)
	var out []subject.Disclosure
	for _, d := range found {
		out = append(out, subject.Disclosure{Recipient: d.Authority, Basis: d.Basis, Category: string(d.Category), ReleasedAt: d.ReleasedAt})
	}
	return out, err
}

// kept returns what the retention policy in force keeps of every line.
func (s *services) kept() []schema.Policy {
	f, _ := s.keeper.InForce()
	var out []schema.Policy
	for _, r := range f.Rules {
		out = append(out, r.Policy)
	}
	return out
}
