package warrant

import (
	"encoding/json"
	"time"

	"griffier/api/ledger"
)

// applyPackage takes in what happened to a released package.
func (s *State) applyPackage(e ledger.Entry) (bool, error) {
	t := s.tasks[e.Header.TaskID]
	if t == nil {
		return false, nil
	}
	if e.Header.Kind == KindCorrect {
		return s.applyCorrect(e, t)
	}
	var f grantFacts // which has all that is needed of any
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	if t.ReleasedAt.IsZero() || f.PackageSHA256 != t.PackageSHA256 {
		return false, nil
	}
	d := &t.Delivery
	switch e.Header.Kind {
	case KindDestroy:
		t.Destroyed = true
	case KindFetch:
		if d.GrantedAt.IsZero() || t.Destroyed {
			return false, nil // another fetch was first
		}
		if t.Fetched == 0 {
			t.FetchedAt = e.Header.At
		}
		t.Fetched++
		d.GrantedAt, d.GrantedBy, d.GrantedTo = time.Time{}, "", ""
	case KindGrant:
		if f.Fetched != t.Fetched || t.Destroyed || !d.RecalledAt.IsZero() {
			return false, nil
		}
		d.GrantedAt, d.GrantedBy, d.GrantedTo = e.Header.At, e.Header.Actor, f.To
	case KindAcknowledge:
		if !d.AcknowledgedAt.IsZero() {
			return false, nil
		}
		d.AcknowledgedAt = e.Header.At
	case KindRecall:
		if !d.RecalledAt.IsZero() {
			return false, nil
		}
		d.RecalledAt, d.RecallIndex = e.Header.At, e.Index
	}
	return true, nil
}

func (s *State) applyCorrect(e ledger.Entry, t *Task) (bool, error) {
	var f correctFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	wrong := s.tasks[f.Corrects]
	if wrong == nil || s.warrants[wrong.WarrantID].Authority != s.warrants[t.WarrantID].Authority || wrong.PackageSHA256 != f.CorrectsSHA256 || !t.executable() || t.Delivery.Corrects != "" {
		return false, nil
	}
	if before := s.tasks[wrong.Delivery.CorrectedBy]; before != nil && !before.ReleasedAt.IsZero() {
		return false, nil
	}
	t.Delivery.Corrects, t.Delivery.CorrectsSHA256 = f.Corrects, f.CorrectsSHA256
	wrong.Delivery.CorrectedBy = t.ID
	s.warrants[t.WarrantID].Revision++ // an intent that was decided before it must not run without it
	return true, nil
}
