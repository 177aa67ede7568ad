package daemon

import (
	"fmt"
	"path/filepath"

	"griffier/api/backup"
	"griffier/api/ledger"
)

// sealed is a fold that knows whether the ledger has anything sealed under a key.
type sealed struct{ any bool }

// Apply implements [ledger.Fold].
func (s *sealed) Apply(e ledger.Entry) error {
	s.any = s.any || e.Header.KeyID != ""
	return nil
}

// keysAreThere refuses a keystore without any key, living or destroyed, beside a ledger
// that had some: most likely its disk is not mounted, and what was sealed from now on
// would be lost with the day that it is.
func (s *services) keysAreThere(had *sealed) error {
	used := had.any || !s.copies.Newest().IsZero()
	if !used || backup.KeysRestored(s.keys.Dir()) {
		return nil
	}
	empty, err := s.keys.Empty()
	if err != nil || !empty {
		return err
	}
	return fmt.Errorf("%s has no key, and the ledger has entries that are sealed under keys: mount its disk, or bring back a copy (griffierd -restore-keys); "+
		"if there is none, make the file %s: what they sealed is lost then", s.keys.Dir(), filepath.Join(s.keys.Dir(), backup.RestoredName))
}
