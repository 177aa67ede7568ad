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

// Body reads the sealed body of the entry at index into to; NOT_FOUND: the dossier
// was destroyed.
func Body(ctx context.Context, book Book, index uint64, to any) error {
	return shredded(body(ctx, book, index, to))
}

// ContentMessage returns a content, with its targets, as a message.
func ContentMessage(c warrant.Content) *griffierv1.WarrantContent { return contentMessage(c, true) }
