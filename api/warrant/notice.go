package warrant

import (
	"encoding/json"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindClearNotice records that the enforcing authority has no objection.
const KindClearNotice = "warrant.clear_notice"

// noticeBlocks reports whether an enforcing authority still has time to refuse:
// nothing is released before it cleared the order or its time is over
// (Regulation (EU) 2023/1543 art. 10(2)).
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
	DocumentSHA256 string
	Note           string
}

type noticeFacts struct {
	Revision uint64 `json:"revision"`
}

// ClearNotice ends the wait for an enforcing authority that has no objection. One
// that refuses is another matter: cancel the warrant, or suspend it.
func (r *Rules) ClearNotice(s *State, now time.Time, by Caller, req ClearNoticeRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	role, err := by.legal()
	if err != nil {
		return ledger.Draft{}, err
	}
	if !w.noticeBlocks(now) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It waits for no enforcing authority.")
	}
	if err := checkDocument(req.DocumentSHA256, req.Note); err != nil {
		return ledger.Draft{}, err
	}
	return ledger.Draft{Kind: KindClearNotice, Actor: by.Actor, Role: string(role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: noticeFacts{w.Revision}, Body: documentBody{req.DocumentSHA256, req.Note}}, nil
}

func (s *State) applyClearNotice(e ledger.Entry) (bool, error) {
	var f noticeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || !w.noticeBlocks(e.Header.At) {
		return false, nil
	}
	w.NoticeClearedAt = e.Header.At
	w.Revision++
	return true, nil
}
