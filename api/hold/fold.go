package hold

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/warrant"
)

// Facts stand in the clear header, for ever: whose rows, and of when, never do.
type makeFacts struct {
	HoldID     string    `json:"hold_id"`
	Basis      string    `json:"basis"`
	EndsAt     time.Time `json:"ends_at"`
	HoldKeyID  string    `json:"hold_key_id"`
	FileSHA256 string    `json:"file_sha256"` // sealed, so that it names nobody
	RowBand    string    `json:"row_band"`
	// Unexecuted: made because what the order asks is not executed. Target is then its
	// place among the targets of the order, from 1, where no task asks for it.
	Unexecuted bool   `json:"unexecuted,omitempty"`
	Target     uint32 `json:"target,omitempty"`
}

// makeBody is sealed under the case key.
type makeBody struct {
	Rows map[string]uint64 `json:"rows"`
}

type extendFacts struct {
	HoldID     string       `json:"hold_id"`
	Generation uint64       `json:"hold_generation"`
	DocumentID string       `json:"document_id"` // random, of a document in the dossier
	Role       warrant.Role `json:"role"`
	Beside     []uint64     `json:"beside"` // ledger indexes of the approvals that still counted
	EndsAt     time.Time    `json:"ends_at"`
}

type endFacts struct {
	HoldID     string `json:"hold_id"`
	DocumentID string `json:"document_id"`
}

// documentBody is sealed under the case key: what an extension or an end rests on.
type documentBody struct {
	DocumentSHA256 string `json:"document_sha256"`
	Explanation    string `json:"explanation,omitempty"`
}

type destroyFacts struct {
	HoldID     string    `json:"hold_id"`
	HoldKeyID  string    `json:"destroyed_key_id"`
	EndedAt    time.Time `json:"ended_at"`
	RowBand    string    `json:"row_band"`
	FileSHA256 string    `json:"file_sha256"`
}

// Apply takes in one entry of the ledger; it implements [ledger.Fold]. An entry
// that was decided on a state that another changed first is counted and otherwise
// ignored. The revocation of a warrant, and its
// cancellation by the authority, end its holds.
func (s *State) Apply(e ledger.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var applied bool
	var err error
	switch e.Header.Kind {
	case KindMake:
		applied, err = s.applyMake(e)
	case KindExtend:
		applied, err = s.applyExtend(e)
	case KindEnd:
		applied, err = s.applyEnd(e)
	case KindDestroy:
		applied, err = s.applyDestroy(e)
	case warrant.KindRevoke, warrant.KindCancel:
		s.applyRevoke(e)
		return nil
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("fold entry %d (%s): %w", e.Index, e.Header.Kind, err)
	}
	if !applied {
		s.ignored++
	}
	return nil
}

func (s *State) applyMake(e ledger.Entry) (bool, error) {
	var f makeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	if s.holds[f.HoldID] != nil || slices.ContainsFunc(s.order, func(id string) bool {
		return s.holds[id].of(e.Header.WarrantID, e.Header.TaskID, f.Target) && s.holds[id].Readable(e.Header.At)
	}) {
		return false, nil
	}
	s.holds[f.HoldID] = &Hold{ID: f.HoldID, WarrantID: e.Header.WarrantID, TaskID: e.Header.TaskID, Basis: f.Basis, Index: e.Index,
		Generation: 1, CaseKeyID: e.Header.KeyID, FileSHA256: f.FileSHA256, RowBand: f.RowBand,
		MadeAt: e.Header.At, EndsAt: f.EndsAt, Unexecuted: f.Unexecuted, Target: f.Target}
	s.order = append(s.order, f.HoldID)
	return true, nil
}

func (s *State) applyExtend(e ledger.Entry) (bool, error) {
	var f extendFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	h := s.holds[f.HoldID]
	if h == nil || h.Generation != f.Generation || !h.Readable(e.Header.At) || !h.ExtendedAt.IsZero() {
		return false, nil
	}
	var kept []Approval
	for _, a := range h.Approvals {
		if slices.Contains(f.Beside, a.Index) {
			if a.Actor == e.Header.Actor || a.Role.Seat() == f.Role.Seat() || a.DocumentID != f.DocumentID {
				return false, nil
			}
			kept = append(kept, a)
		}
	}
	h.Generation++
	h.Approvals = append(kept, Approval{Actor: e.Header.Actor, Role: f.Role, DocumentID: f.DocumentID, At: e.Header.At, Index: e.Index})
	if len(h.Approvals) == 2 {
		h.EndsAt, h.ExtendedAt, h.Approvals = f.EndsAt, e.Header.At, nil
	}
	return true, nil
}

// applyEnd takes in an end whatever the generation: to stop is always safe.
func (s *State) applyEnd(e ledger.Entry) (bool, error) {
	var f endFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	h := s.holds[f.HoldID]
	if h == nil || !h.Readable(e.Header.At) {
		return false, nil
	}
	h.EndedAt, h.EndedBy = e.Header.At, ByOrder
	h.Generation++
	return true, nil
}

func (s *State) applyRevoke(e ledger.Entry) {
	for _, h := range s.holds {
		if h.WarrantID == e.Header.WarrantID && h.Readable(e.Header.At) {
			h.EndedAt, h.EndedBy = e.Header.At, ByRevocation
			if e.Header.Kind == warrant.KindCancel {
				h.EndedBy = ByCancellation
			}
			h.Generation++
		}
	}
}

func (s *State) applyDestroy(e ledger.Entry) (bool, error) {
	var f destroyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	h := s.holds[f.HoldID]
	if h == nil || h.Status(e.Header.At) != Ended {
		return false, nil
	}
	h.DestroyedAt, h.DestroyIndex = e.Header.At, e.Index
	h.Generation++
	return true, nil
}
