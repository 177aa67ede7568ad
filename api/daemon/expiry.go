package daemon

import (
	"path/filepath"
	"time"

	"griffier/api/ledger"
	"griffier/api/retention/expiry"
)

// newExpiry makes what drops expired days, and what proves that they are gone.
func (s *services) newExpiry(book *ledger.Log) (*expiry.Dropper, *expiry.Verifier) {
	policy := func() (generation uint64, sha256 string) {
		f, _ := s.keeper.InForce()
		return f.Generation, f.SHA256
	}
	dropper := &expiry.Dropper{Conn: s.conn, Book: book, Record: s.record, LastAt: book.LastAt, Policy: policy, Now: time.Now, Log: s.log}
	if dir := s.cfg.Store.DataDir; dir != "" {
		dropper.Ballast = &expiry.Ballast{Path: filepath.Join(dir, "ballast")}
	}
	return dropper, &expiry.Verifier{Conn: s.conn, Book: book, Record: s.record, Policy: policy, DataDir: s.cfg.Store.DataDir, Now: time.Now}
}
