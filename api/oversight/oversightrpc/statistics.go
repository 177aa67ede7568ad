package oversightrpc

import (
	"context"
	"time"

	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// GetDisclosureStatistics implements OversightService.
func (s *Service) GetDisclosureStatistics(ctx context.Context, req *griffierv1.GetDisclosureStatisticsRequest) (*griffierv1.DisclosureStatistics, error) {
	start, end, err := s.year(req.GetYear())
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if tables, ok := s.cfg.State.Published(int(req.GetYear())); ok && req.GetPublic() {
		return publicMessage(req.GetYear(), end, tables), nil
	}
	if req.GetPublic() && now.Before(end) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "year",
			Description: "has not ended: two public reports of one year would tell what came in between"})
	}
	if req.GetPublic() && s.cfg.Leap != nil {
		if err := s.cfg.Leap(now); err != nil {
			return nil, err
		}
	}
	var failed error
	cells := s.cfg.State.Census(s.cfg.Warrants, start, end, now, func(t warrant.Task) (time.Time, bool) {
		at, ok, err := s.instant(ctx, t)
		if err != nil && failed == nil {
			failed = err
		}
		return at, ok
	})
	if failed != nil {
		return nil, failed
	}
	m := &griffierv1.DisclosureStatistics{Year: req.GetYear(), Public: req.GetPublic(), Until: stamp(end)}
	if now.Before(end) {
		m.Until = stamp(now)
	}
	if !req.GetPublic() {
		total := oversight.Figures{}
		for _, c := range cells {
			m.Cells = append(m.Cells, &griffierv1.DisclosureCell{Authority: c.Authority, LegalBasis: c.Basis, Category: c.Category, Age: c.Age, Figures: figures(c.Figures)})
			total = total.Plus(c.Figures)
		}
		m.Total = figures(total)
		return m, nil
	}
	_, err = warrantrpc.Decide(ctx, s.cfg.Book, oversight.PublishRequest(int(req.GetYear())), func(time.Time) (ledger.Draft, *reason.Error) {
		return oversight.Publish(int(req.GetYear()), oversight.Public(cells, oversight.LeastPublished)), nil
	})
	if err != nil {
		return nil, err
	}
	tables, ok := s.cfg.State.Published(int(req.GetYear()))
	if !ok {
		return nil, reason.New(reason.UnknownOutcome, "")
	}
	return publicMessage(req.GetYear(), end, tables), nil
}

func publicMessage(year int32, end time.Time, tables []oversight.Table) *griffierv1.DisclosureStatistics {
	m := &griffierv1.DisclosureStatistics{Year: year, Public: true, Until: stamp(end)}
	for _, t := range tables {
		table := &griffierv1.DisclosureTable{By: string(t.By)}
		total := oversight.Figures{}
		for _, r := range t.Rows {
			table.Rows = append(table.Rows, &griffierv1.DisclosureRow{Labels: r.Labels, Figures: figures(r.Figures)})
			total = total.Plus(r.Figures)
		}
		m.Tables, m.Total = append(m.Tables, table), figures(total)
	}
	return m
}

// instant is what a task is about; false when its dossier is destroyed, or it is
// about no instant.
func (s *Service) instant(ctx context.Context, t warrant.Task) (time.Time, bool, error) {
	q, err := warrantrpc.Question(ctx, s.cfg.Book, t)
	if reason.Of(err) == reason.NotFound {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	at, refusal := warrant.ParseInstant(q.Instant)
	return at, refusal == nil, nil
}

func figures(f oversight.Figures) *griffierv1.DisclosureFigures {
	return &griffierv1.DisclosureFigures{Requests: f.Requests(), Answered: f.Answered(), Unanswered: f.Unanswered, Refused: f.Refused, Open: f.Open, Subjects: f.Subjects()}
}
