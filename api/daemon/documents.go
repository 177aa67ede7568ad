package daemon

import (
	"errors"
	"path/filepath"
	"time"

	"griffier/api/ledger"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/intakerpc"
)

// keeperOfDocuments makes what keeps the orders of dossiers, removes what a stop left
// behind, and shows them to the proof of retention.
func (s *services) keeperOfDocuments(book *ledger.Log) (*document.Keeper, error) {
	k, err := document.New(document.Config{
		Dir: s.cfg.Legal.DocumentsDir, Keys: s.keys, Book: book, State: s.warrants, Rules: s.rules,
		Scanner:  document.Scanner{Command: s.cfg.Legal.DocumentScanner, Limit: s.cfg.Legal.DocumentScanLimit},
		Registry: s.registry, Now: time.Now, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	if err := k.Recover(); err != nil {
		return nil, err
	}
	s.verifier.Places = append(s.verifier.Places, document.Place{Keeper: k})
	return k, nil
}

// document returns the document of a dossier that has a hash, or false.
func (s *services) document(warrantID, sha256 string) (warrant.Document, bool) {
	return s.rules.DocumentOf(s.warrants, warrantID, sha256)
}

// intake is the service of documents, letters and second entries.
func (s *services) intake(book *ledger.Log) *intakerpc.Service {
	return intakerpc.NewService(intakerpc.Config{Book: book, State: s.warrants, Rules: s.rules, Documents: s.documents, Now: time.Now})
}

// validateScanner wants a program that does not depend on where griffierd was started.
func (l LegalConfig) validateScanner() error {
	switch {
	case len(l.DocumentScanner) > 0 && !filepath.IsAbs(l.DocumentScanner[0]):
		return errors.New("legal.document_scanner must begin with the absolute path of a program")
	case l.DocumentScanLimit < time.Second || l.DocumentScanLimit > 10*time.Minute:
		return errors.New("legal.document_scan_limit must be between 1s and 10m")
	}
	return nil
}
