package warrant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindDocument is the entry by which an order, as it was received, becomes part of
// its dossier.
const KindDocument = "document.stored"

// Limits of a dossier's documents. MaxDocuments is room for extensions and
// corrections.
const (
	MaxDocumentBytes = 16 << 20
	MaxDocuments     = 50
)

// DocumentType is the media type of a document, as its bytes tell.
type DocumentType string

// The types that are taken (disclosure.md D-03).
const (
	PDF  DocumentType = "application/pdf"
	DOCX DocumentType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	PNG  DocumentType = "image/png"
	JPEG DocumentType = "image/jpeg"
	Text DocumentType = "text/plain"
)

// DocumentTypes lists them.
var DocumentTypes = []DocumentType{PDF, DOCX, PNG, JPEG, Text}

// Scan is what a virus scanner said of a document. One that it refuses is not stored.
type Scan string

// Outcomes of a scan.
const (
	ScanClean Scan = "CLEAN"
	NotScan   Scan = "NOT_SCANNED" // no scanner is configured
)

// Document is what the headers tell about a stored document. It is never replaced
// and never changed; it is gone when its warrant's key is.
type Document struct {
	ID         string
	WarrantID  string
	Key        string // keyed hash of its bytes
	Type       DocumentType
	Bytes      int64
	FileSHA256 string // of the sealed file
	Scan       Scan
	// ReplayOf are the warrants that had the same bytes before: the alert that one
	// order may have been sent twice under two references.
	ReplayOf []string
	StoredBy string
	StoredAt time.Time
	Index    uint64 // of the ledger entry
}

type documentFacts struct {
	DocumentID  string       `json:"document_id"`
	DocumentKey string       `json:"document_key"` // keyed hash of its bytes: the hash itself is sealed
	Type        DocumentType `json:"type"`
	Bytes       int64        `json:"bytes"`
	FileSHA256  string       `json:"file_sha256"`
	Scan        Scan         `json:"scan"`
	ReplayOf    []string     `json:"replay_of,omitempty"`
	ForHold     bool         `json:"for_hold,omitempty"` // the warrant has lapsed, and a hold of it lasts
}

// DocumentBody is the sealed body of a [KindDocument] entry.
type DocumentBody struct {
	SHA256 string `json:"sha256"`
}

// documentFold is the documents of all warrants. The zero value is an empty one.
type documentFold struct {
	byID      map[string]*Document
	byWarrant map[string][]string
	byKey     map[string][]string // ids of warrants
}

// StoreDocumentRequest makes a sealed file, which is on disk, part of a dossier.
type StoreDocumentRequest struct {
	ID, WarrantID string
	SHA256        string // of the document, in hexadecimal
	Type          DocumentType
	Bytes         int64
	FileSHA256    string
	Scan          Scan
}

// documentKey is the keyed hash under which a document's bytes are found again. The
// hash itself would say for ever, to whoever holds a copy of an order, that it was
// received here; and a short text with one unknown address could be guessed.
func (r *Rules) documentKey(sha string) string {
	if sha == "" {
		return ""
	}
	mac := hmac.New(sha256.New, r.DuplicateKey)
	mac.Write([]byte("warrant-document|" + sha))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// MayStoreDocument judges, before a byte of it is taken, whether a caller may add a
// document to a warrant.
func (r *Rules) MayStoreDocument(s *State, now time.Time, by Caller, warrantID string) (Warrant, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return Warrant{}, reason.New(reason.PermissionDenied, "")
	}
	w, ok := s.Warrant(warrantID)
	if !ok {
		return Warrant{}, reason.New(reason.NotFound, "")
	}
	if err := w.live(now); err != nil && !r.forHold(w, now) {
		return Warrant{}, err
	}
	return w, nil
}

// forHold reports whether the dossier of a warrant that has lapsed, and that nobody
// ended, is open for the sake of a hold.
func (r *Rules) forHold(w Warrant, now time.Time) bool {
	return w.State(now) == Expired && r.HoldLasts != nil && r.HoldLasts(w.ID, now)
}

// StoreDocument drafts the entry. The same bytes under another warrant are an alert,
// which the entry carries as its reason: an order that is sent again under a new
// reference may be a replay, or a letter about two cases; people decide. The same
// bytes under the same warrant are refused: see [State.DocumentOf].
func (r *Rules) StoreDocument(s *State, now time.Time, by Caller, req StoreDocumentRequest) (ledger.Draft, *reason.Error) {
	w, err := r.MayStoreDocument(s, now, by, req.WarrantID)
	if err != nil {
		return ledger.Draft{}, err
	}
	if !slices.Contains(DocumentTypes, req.Type) || req.Bytes < 1 || req.Bytes > MaxDocumentBytes || !sha256Form.MatchString(req.SHA256) ||
		!sha256Form.MatchString(req.FileSHA256) || (req.Scan != ScanClean && req.Scan != NotScan) || !holdIDForm.MatchString(req.ID) {
		return ledger.Draft{}, reason.New(reason.Internal, "")
	}
	key := r.documentKey(req.SHA256)
	s.mu.RLock()
	count, elsewhere := len(s.documents.byWarrant[w.ID]), slices.Clone(s.documents.byKey[key])
	s.mu.RUnlock()
	switch {
	case slices.Contains(elsewhere, w.ID):
		return ledger.Draft{}, reason.New(reason.DocumentRefused, "It is in the dossier already.")
	case count >= MaxDocuments:
		return ledger.Draft{}, reason.New(reason.RateLimited, "The dossier is full of documents.")
	}
	d := ledger.Draft{
		Kind: KindDocument, Actor: by.Actor, Role: string(LegalOfficer), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: documentFacts{DocumentID: req.ID, DocumentKey: key, Type: req.Type, Bytes: req.Bytes, FileSHA256: req.FileSHA256,
			Scan: req.Scan, ReplayOf: elsewhere, ForHold: w.live(now) != nil},
		Body: DocumentBody{SHA256: req.SHA256},
	}
	if len(elsewhere) > 0 {
		d.Reason = string(reason.DocumentReplayed)
	}
	return d, nil
}

// applyDocument takes in a document whatever the warrant's revision: it changes
// nothing that another act was decided on.
func (s *State) applyDocument(e ledger.Entry) (bool, error) {
	var f documentFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, d := s.warrants[e.Header.WarrantID], &s.documents
	if w == nil || w.Ended != "" || w.live(e.Header.At) != nil && !f.ForHold || d.byID[f.DocumentID] != nil || slices.Contains(d.byKey[f.DocumentKey], w.ID) {
		return false, nil
	}
	if d.byID == nil {
		*d = documentFold{byID: map[string]*Document{}, byWarrant: map[string][]string{}, byKey: map[string][]string{}}
	}
	d.byID[f.DocumentID] = &Document{ID: f.DocumentID, WarrantID: w.ID, Key: f.DocumentKey, Type: f.Type, Bytes: f.Bytes, FileSHA256: f.FileSHA256,
		Scan: f.Scan, ReplayOf: f.ReplayOf, StoredBy: e.Header.Actor, StoredAt: e.Header.At, Index: e.Index}
	d.byWarrant[w.ID] = append(d.byWarrant[w.ID], f.DocumentID)
	d.byKey[f.DocumentKey] = append(d.byKey[f.DocumentKey], w.ID)
	return true, nil
}

// Document returns a stored document, or false.
func (s *State) Document(id string) (Document, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.documents.byID[id]
	if d == nil {
		return Document{}, false
	}
	return d.clone(), true
}

// Documents returns a warrant's documents in the order in which they were stored.
func (s *State) Documents(warrantID string) []Document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Document
	for _, id := range s.documents.byWarrant[warrantID] {
		out = append(out, s.documents.byID[id].clone())
	}
	return out
}

// DocumentOf returns the document of a warrant that has these bytes, or false.
func (r *Rules) DocumentOf(s *State, warrantID, sha256 string) (Document, bool) {
	key := r.documentKey(sha256)
	for _, d := range s.Documents(warrantID) {
		if d.Key == key {
			return d, true
		}
	}
	return Document{}, false
}

// DocumentStored reports whether the document that the warrant's present content
// names by its hash is in the dossier.
func (s *State) DocumentStored(warrantID string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	w := s.warrants[warrantID]
	return w != nil && w.DocumentKey != "" && slices.Contains(s.documents.byKey[w.DocumentKey], w.ID)
}

// documented refuses while the order itself is not in the dossier (disclosure.md D-03).
func (s *State) documented(warrantID string) *reason.Error {
	if s.DocumentStored(warrantID) {
		return nil
	}
	return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "document",
		Description: "is not stored: add the order as it was received, with the hash that the content names"})
}

// inDossier refuses an act that rests on a document which is not in the dossier,
// where the rules want the order itself there.
func (r *Rules) inDossier(s *State, warrantID, sha256 string) *reason.Error {
	if _, ok := r.DocumentOf(s, warrantID, sha256); ok || !r.RequireDocument {
		return nil
	}
	return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "document_sha256",
		Description: "is of no document in the dossier: store it as it was received (griffier document put)"})
}

func (d *Document) clone() Document {
	c := *d
	c.ReplayOf = slices.Clone(d.ReplayOf)
	return c
}
