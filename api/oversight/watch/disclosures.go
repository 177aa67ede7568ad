package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"griffier/api/keystore"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Disclosure is one that a person may be told of.
type Disclosure struct {
	Authority  string
	Basis      string
	Category   warrant.Category
	ReleasedAt time.Time
}

// Disclosures returns those about a line that are not secret any more, oldest
// first. It opens the same entries whatever there is to find, so that neither the
// answer's form nor the time that it takes tells of a secret one. What dossiers
// said that are destroyed nobody knows.
func (w *Watch) Disclosures(ctx context.Context, legal *warrant.State, lineID string) ([]Disclosure, error) {
	var out []Disclosure
	for _, r := range w.cfg.State.Recipients() {
		body, err := w.body(ctx, r.Index)
		if errors.Is(err, keystore.ErrShredded) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var b oversight.RecipientBody
		if err := json.Unmarshal(body, &b); err != nil {
			return nil, fmt.Errorf("recipient at entry %d: %w", r.Index, err)
		}
		t, of, ok := legal.Task(r.TaskID)
		told := ok && t.Answer == reason.Match && !t.ReleasedAt.IsZero() && w.cfg.State.Secrecy(r.WarrantID).Ended()
		if slices.Contains(b.LineIDs, lineID) && told {
			out = append(out, Disclosure{of.Authority, of.Basis, t.Category, t.ReleasedAt})
		}
	}
	return out, nil
}
