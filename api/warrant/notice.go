package warrant

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindClearNotice is one person's record that the enforcing authority has no
// objection; that of a second person clears the notice.
const KindClearNotice = "warrant.clear_notice"

// noticeBlocks reports whether an enforcing authority still has time to refuse:
// nothing is released before it cleared the order or its time is over
// (Regulation (EU) 2023/1543 art. 8(4) and 10(2)).
func (w *Warrant) noticeBlocks(now time.Time) bool {
	return !w.NoticeUntil.IsZero() && w.NoticeClearedAt.IsZero() && now.Before(w.NoticeUntil)
}

// noticed refuses while the enforcing authority's time runs.
func (w *Warrant) noticed(now time.Time) *reason.Error {
	if !w.noticeBlocks(now) {
		return nil
	}
	return reason.New(reason.NoticePending, "Its time ends at "+w.NoticeUntil.UTC().Format(time.RFC3339)+".")
}

// ClearNoticeRequest records the message by which the enforcing authority cleared
// the order. Note is sealed.
type ClearNoticeRequest struct {
	WarrantID      string
	Generation     uint64
	ContentSHA256  string // as the caller saw it
	DocumentSHA256 string
	Note           string
}

// ClearNotice ends the wait for an enforcing authority that has no objection, once
// two people recorded the same message of it: see [Consent]. The message must be in
// the dossier, so that the second one reads what the first one read. An authority that
// refuses is another matter: cancel the warrant, or suspend it.
func (r *Rules) ClearNotice(s *State, now time.Time, by Caller, req ClearNoticeRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	f, err := r.consent(w, now, by, KindClearNotice, req.ContentSHA256, r.documentKey(req.DocumentSHA256))
	if err != nil {
		return ledger.Draft{}, err
	}
	if !w.noticeBlocks(now) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It waits for no enforcing authority.")
	}
	if err := checkDocument(req.DocumentSHA256, req.Note); err != nil {
		return ledger.Draft{}, err
	}
	if err := r.inDossier(s, w.ID, req.DocumentSHA256); err != nil {
		return ledger.Draft{}, err
	}
	return ledger.Draft{Kind: KindClearNotice, Actor: by.Actor, Role: string(f.Role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: f, Body: documentBody{req.DocumentSHA256, req.Note}}, nil
}
