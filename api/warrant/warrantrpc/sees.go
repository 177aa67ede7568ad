package warrantrpc

import (
	"context"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// Sees returns the caller of the context, or NOT_FOUND for one for whom the warrant
// does not exist at now.
func Sees(ctx context.Context, state *warrant.State, rules *warrant.Rules, now time.Time, warrantID string) (warrant.Caller, error) {
	by, overseer, err := viewer(ctx)
	if err != nil {
		return warrant.Caller{}, err
	}
	if w, ok := state.Warrant(warrantID); !ok || !visible(rules, now, by, overseer, w) {
		return warrant.Caller{}, reason.New(reason.NotFound, "")
	}
	return by, nil
}

// Seen returns which warrants a list may show the caller of the context: the overseer
// every one, legal officers and approvers those of their teams, and others none.
func Seen(ctx context.Context, state *warrant.State) (func(warrantID string) bool, error) {
	by, overseer, err := viewer(ctx)
	if err != nil {
		return nil, err
	}
	return func(warrantID string) bool {
		w, ok := state.Warrant(warrantID)
		legal := by.Has(warrant.LegalOfficer) || by.Has(warrant.LegalApprover)
		return ok && (overseer || legal && by.Within(w))
	}, nil
}

// Body reads the sealed body of the entry at index into to; NOT_FOUND: the dossier
// was destroyed.
func Body(ctx context.Context, book Book, index uint64, to any) error {
	return shredded(body(ctx, book, index, to))
}

// ContentMessage returns a content, with its targets, as a message.
func ContentMessage(c warrant.Content) *griffierv1.WarrantContent { return contentMessage(c, true) }
