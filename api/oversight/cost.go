package oversight

import (
	"encoding/json"
	"regexp"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// KindCost is the entry of time spent on a warrant (disclosure.md D-70).
const KindCost = "warrant.cost"

// maxMinutes is a working day and a half: more is a mistake.
const maxMinutes = 720

var tariffForm = regexp.MustCompile(`^[A-Z0-9][A-Z0-9._-]{0,31}$`)

// Cost is time spent on a warrant, at a tariff that the reimbursing authority
// knows.
type Cost struct {
	ID        string
	WarrantID string
	Minutes   uint32
	Tariff    string
	By        string
	At        time.Time
	Index     uint64
}

// CostRequest asks to record one. ID is random, made by the shell.
type CostRequest struct {
	ID, WarrantID string
	Minutes       uint32
	Tariff        string
}

type costFacts struct {
	ID      string `json:"id"`
	Minutes uint32 `json:"minutes"`
	Tariff  string `json:"tariff"`
}

// Spend judges and drafts it. Work goes on after a warrant's end, and so does this.
func (s *State) Spend(legal *warrant.State, by warrant.Caller, req CostRequest) (ledger.Draft, *reason.Error) {
	if !by.Has(warrant.LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	var bad []reason.Violation
	if req.Minutes < 1 || req.Minutes > maxMinutes {
		bad = append(bad, reason.Violation{Field: "minutes", Description: "must be 1 to 720"})
	}
	if !tariffForm.MatchString(req.Tariff) {
		bad = append(bad, reason.Violation{Field: "tariff", Description: "is required: 1 to 32 of A-Z 0-9 . _ -"})
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	w, ok := legal.Warrant(req.WarrantID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	return ledger.Draft{Kind: KindCost, Actor: by.Actor, Role: string(warrant.LegalOfficer), WarrantID: w.ID, Generation: w.Generation,
		Facts: costFacts{req.ID, req.Minutes, req.Tariff}}, nil
}

// Costs returns those entered in [from, to), oldest first.
func (s *State) Costs(from, to time.Time) []Cost {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Cost
	for _, c := range s.costs {
		if !c.At.Before(from) && c.At.Before(to) {
			out = append(out, c)
		}
	}
	return out
}

func (s *State) applyCost(e ledger.Entry) error {
	var f costFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.costs = append(s.costs, Cost{ID: f.ID, WarrantID: e.Header.WarrantID, Minutes: f.Minutes, Tariff: f.Tariff, By: e.Header.Actor, At: e.Header.At, Index: e.Index})
	return nil
}
