package oversightrpc

import (
	"context"
	"maps"
	"slices"
	"time"

	"griffier/api/oversight"
	griffierv1 "griffier/proto/griffier/v1"
)

// alarmsBack is how far back alarms are listed.
const alarmsBack = 90 * 24 * time.Hour

// GetOversight implements OversightService.
func (s *Service) GetOversight(ctx context.Context, _ *griffierv1.GetOversightRequest) (*griffierv1.Oversight, error) {
	now := s.cfg.Now()
	v := s.cfg.State.Overview(s.cfg.Warrants, s.cfg.Holds, now, s.cfg.Rules.ApprovalAge, s.cfg.Rules.DoubleEntry)
	m := &griffierv1.Oversight{
		At: stamp(v.At), WarrantStates: counts(v.States), TaskStates: counts(v.TaskStates), Refusals: counts(v.Refusals),
		Emergencies: v.Emergencies, Unverified: v.Unverified, Unconfirmed: v.Unconfirmed, Overdue: v.Overdue,
		HoldsLive: v.HoldsLive, HoldsEnded: v.HoldsEnded, NonExecutions: v.NotExecuted, Errors: v.Faults, SecrecyDue: v.SecrecyDue,
		LedgerEntries: s.cfg.Book.Size(), LedgerNewestAt: stamp(s.cfg.Book.LastAt()),
		Limits: &griffierv1.OversightLimits{WarrantsPerAuthorityHour: uint32(s.cfg.Limits.WarrantsPerAuthorityHour),
			TasksPerOfficerDay: uint32(s.cfg.Limits.TasksPerOfficerDay), WalkLength: uint32(s.cfg.Limits.WalkLength)},
	}
	m.StaffListAt, m.StaffListDue = stamp(s.cfg.State.StaffListAt()), s.cfg.State.StaffListDue(now, s.cfg.Limits)
	for _, w := range v.Warrants {
		m.Warrants = append(m.Warrants, openWarrant(w))
	}
	for _, h := range v.Hits {
		m.LimitHits = append(m.LimitHits, &griffierv1.LimitHit{Limit: string(h.Limit), Officer: h.Actor, At: stamp(h.At)})
	}
	if s.cfg.Health != nil {
		for _, h := range s.cfg.Health() {
			m.Health = append(m.Health, &griffierv1.Health{Part: h.Part, Ok: h.OK, Detail: h.Detail})
		}
	}
	linkage, intake := s.cfg.State.Sealed(now.Add(-alarmsBack))
	for _, of := range []struct {
		kind    griffierv1.OversightAlarmKind
		entries []oversight.Mark
	}{{griffierv1.OversightAlarmKind_OVERSIGHT_ALARM_KIND_LINKAGE, linkage}, {griffierv1.OversightAlarmKind_OVERSIGHT_ALARM_KIND_WALK, intake}} {
		for _, e := range of.entries {
			l, err := s.link(ctx, e.Index)
			if err != nil {
				return nil, err
			}
			if l.Disclosures > 0 {
				m.Alarms = append(m.Alarms, &griffierv1.OversightAlarm{Kind: of.kind, At: stamp(e.At), Count: uint32(l.Disclosures), WarrantIds: l.Warrants, LedgerIndex: e.Index})
			}
		}
	}
	slices.SortFunc(m.Alarms, func(a, b *griffierv1.OversightAlarm) int { return int(int64(a.LedgerIndex) - int64(b.LedgerIndex)) })
	return m, nil
}

// link opens what an entry of the watch says, once.
func (s *Service) link(ctx context.Context, index uint64) (oversight.Link, error) {
	s.mu.Lock()
	l, ok := s.links[index]
	s.mu.Unlock()
	if ok {
		return l, nil
	}
	var b oversight.WatchBody
	if _, err := s.body(ctx, index, &b); err != nil {
		return oversight.Link{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links[index] = b.Link
	return b.Link, nil
}

func openWarrant(w oversight.OpenWarrant) *griffierv1.OpenWarrant {
	m := &griffierv1.OpenWarrant{WarrantId: w.ID, LegalBasis: w.Basis, State: string(w.State), CreatedAt: stamp(w.CreatedAt), ActBy: stamp(w.ActBy),
		ValidUntil: stamp(w.ValidUntil), EffectiveUntil: stamp(w.EffectiveUntil), PaperBy: stamp(w.PaperBy), Emergency: w.Emergency,
		Approvals: uint32(w.Approvals), Unverified: w.Unverified, Overdue: w.Overdue, NonExecutions: uint32(w.NotExecuted)}
	for _, t := range w.Tasks {
		m.Tasks = append(m.Tasks, &griffierv1.OpenTask{TaskId: t.ID, Category: string(t.Category), State: string(t.State), CreatedAt: stamp(t.CreatedAt), Unconfirmed: t.Unconfirmed})
	}
	return m
}

func counts[K ~string](n map[K]uint64) (out []*griffierv1.StateCount) {
	for _, k := range slices.Sorted(maps.Keys(n)) {
		out = append(out, &griffierv1.StateCount{State: string(k), Count: n[k]})
	}
	return out
}
