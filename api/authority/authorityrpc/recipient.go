package authorityrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griffier/api/authority"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/warrant/warrantrpc"
)

// Recipients looks up the keys that packages are sealed to. It is safe for
// concurrent use.
type Recipients struct {
	book     warrantrpc.Book
	registry *authority.Registry
	now      func() time.Time
}

// NewRecipients returns the look-up over a registry that is a fold of book.
func NewRecipients(book warrantrpc.Book, registry *authority.Registry, now func() time.Time) *Recipients {
	return &Recipients{book, registry, now}
}

// Recipient returns the key with a fingerprint that is, now, a confirmed key of an
// authority which is not retired. Everything else is AUTHORITY_NOT_ENTITLED, and so
// is a key that does not have the fingerprint under which it was confirmed.
func (r *Recipients) Recipient(ctx context.Context, authorityID, fingerprint string) (authority.Key, error) {
	refused := reason.New(reason.AuthorityNotEntitled, "The recipient's key is not, or no longer, a confirmed key of this authority.")
	a, ok := r.registry.Authority(authorityID)
	if !ok || !a.RetiredAt.IsZero() {
		return authority.Key{}, refused
	}
	now := r.now()
	for _, k := range a.Keys {
		if k.Fingerprint != fingerprint || !k.Confirmed(now) {
			continue
		}
		key, err := readKey(ctx, r.book, k)
		if err != nil {
			return authority.Key{}, err
		}
		if key.Fingerprint != fingerprint {
			return authority.Key{}, &reason.Error{Reason: reason.AuthorityNotEntitled, Cause: fmt.Errorf("key at entry %d does not have the fingerprint of its header", k.Index)}
		}
		return key, nil
	}
	return authority.Key{}, refused
}

// readKey reads a key from its sealed body. One whose class key was destroyed must
// be added anew.
func readKey(ctx context.Context, book warrantrpc.Book, k authority.KeyRecord) (authority.Key, error) {
	var b authority.KeyBody
	if err := readBody(ctx, book, k.Index, &b); err != nil {
		if errors.Is(err, keystore.ErrShredded) {
			err = &reason.Error{Reason: reason.AuthorityNotEntitled, Detail: "The key was kept for as long as the retention policy says: add it anew.", Cause: err}
		}
		return authority.Key{}, err
	}
	return authority.ParseKey(b.Key)
}

func readBody(ctx context.Context, book warrantrpc.Book, index uint64, to any) error {
	entries, err := book.Read(ctx, index, 1)
	if err != nil {
		return warrantrpc.LedgerError(err)
	}
	if len(entries) != 1 || entries[0].Index != index {
		return reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("entry %d cannot be read", index))
	}
	text, err := book.Body(entries[0])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("body of entry %d: %w", index, err)
	}
	return nil
}
