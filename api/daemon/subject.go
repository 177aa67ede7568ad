package daemon

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/subject"
)

// newSubjects makes what carries out the rights of persons.
func (s *services) newSubjects(book *ledger.Log) *subject.Desk {
	return &subject.Desk{
		Register: s.register, Executor: s.store.executor, Operator: s.conn, Book: book, State: s.rights,
		Embedded: s.cfg.Store.DSN == "", Clock: s.leap, Now: time.Now, Log: s.log,
		Disclosures: s.disclosures, Policy: s.kept,
		Backups: func() (out []subject.Copy) {
			for _, k := range s.copies.Readable(time.Now()) {
				out = append(out, subject.Copy{BackupID: k.ID, MadeAt: k.MadeAt, UnreadableBy: k.UnreadableBy})
			}
			return out
		},
	}
}
