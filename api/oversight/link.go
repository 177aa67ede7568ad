package oversight

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"griffier/api/ledger"
)

// KindLinkage is entered for every line that a task discloses something about. Its facts are the
// keyed tag; what it was linked to, if anything, is in the sealed body, which has
// the same length either way: nobody but the overseer can tell an alarm from none.
const KindLinkage = "oversight.linkage"

// KindRecipient is entered with them: whose lines a task was about, sealed under the
// case key, so that a person can be told who received their data for as long as the dossier
// is kept, and no longer.
const KindRecipient = "oversight.recipient"

// A line about which there were this many disclosures in [Window], under this many
// warrants, is an alarm (disclosure.md D-63).
const (
	LinkDisclosures = 3
	LinkWarrants    = 2
)

// Link is what disclosures about one line in [Window] there are.
type Link struct {
	Disclosures int      `json:"disclosures"`
	Warrants    []string `json:"warrants"`
}

// Alarming reports whether oversight must hear of it.
func (l Link) Alarming() bool {
	return l.Disclosures >= LinkDisclosures && len(l.Warrants) >= LinkWarrants
}

// Linked counts the disclosures about the line in the window before now, with the
// one that the tag is of. An execution that is repeated counts once.
func (s *State) Linked(now time.Time, t Tag, secrets Secrets, lineID string) Link {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tasks := map[string]bool{t.TaskID: true}
	l := Link{Disclosures: 1, Warrants: []string{t.WarrantID}}
	is := secrets.of(lineID)
	for other := range s.tagsSince(OfLine, now.Add(-Window)) {
		if tasks[other.TaskID] || !is(other) {
			continue
		}
		tasks[other.TaskID] = true
		l.Disclosures++
		if !slices.Contains(l.Warrants, other.WarrantID) {
			l.Warrants = append(l.Warrants, other.WarrantID)
		}
	}
	return l
}

type linkFacts struct {
	KeyID string `json:"tag_key_id"`
	Tag   string `json:"tag"`
}

// sealedBytes is the length of the sealed part of watch entries, so that it tells
// nothing; maxLinked warrants fit in it.
const (
	sealedBytes = 2048
	maxLinked   = 40
)

// WatchBody is the sealed body of a [KindLinkage] or [KindIntake] entry. The zero
// Link is no alarm.
type WatchBody struct {
	Link Link   `json:"link"`
	Pad  string `json:"pad"`
}

func pad(l Link) WatchBody {
	l.Warrants = slices.Clone(l.Warrants[max(0, len(l.Warrants)-maxLinked):])
	b := WatchBody{Link: l}
	text, _ := json.Marshal(b) // strings and numbers: cannot fail
	b.Pad = strings.Repeat(".", max(0, sealedBytes-len(text)))
	return b
}

// LinkageDraft drafts the entry of a disclosure.
func LinkageDraft(t Tag, l Link, classKey string) ledger.Draft {
	return ledger.Draft{Kind: KindLinkage, Role: "system", WarrantID: t.WarrantID, TaskID: t.TaskID, KeyID: classKey,
		Facts: linkFacts{t.KeyID, t.MAC}, Body: pad(l)}
}

// RecipientBody is the sealed body of a [KindRecipient] entry.
type RecipientBody struct {
	LineIDs []string `json:"line_ids"`
}

type recipientFacts struct {
	Lines int `json:"lines"`
}

// RecipientDraft drafts the entry of whose lines a task was answered about.
func RecipientDraft(warrantID, taskID, caseKey string, lineIDs []string) ledger.Draft {
	return ledger.Draft{Kind: KindRecipient, Role: "system", WarrantID: warrantID, TaskID: taskID, KeyID: caseKey,
		Facts: recipientFacts{len(lineIDs)}, Body: RecipientBody{lineIDs}}
}

// Recipient is where the ledger says whose lines a task was about.
type Recipient struct {
	WarrantID, TaskID string
	Lines             int
	Index             uint64
}

// Recipients returns all, oldest first; of a repeated execution the last.
func (s *State) Recipients() []Recipient {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.recipients)
}

// Mark is an entry whose sealed body tells the overseer of a link, if there is one.
type Mark struct {
	At    time.Time
	Index uint64
}

// Sealed returns those since an instant, by kind.
func (s *State) Sealed(since time.Time) (linkage, intake []Mark) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	pick := func(all []Mark) []Mark {
		n := len(all)
		for n > 0 && !all[n-1].At.Before(since) {
			n--
		}
		return slices.Clone(all[n:])
	}
	return pick(s.linkages), pick(s.intakes)
}

func (s *State) applyLinkage(e ledger.Entry) error {
	var f linkFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	s.forget(e.Header.At)
	s.tags = append(s.tags, Tag{At: e.Header.At, Domain: OfLine, WarrantID: e.Header.WarrantID, TaskID: e.Header.TaskID, KeyID: f.KeyID, MAC: f.Tag})
	s.linkages = append(s.linkages, Mark{e.Header.At, e.Index})
	return nil
}

func (s *State) applyRecipient(e ledger.Entry) error {
	var f recipientFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	r := Recipient{e.Header.WarrantID, e.Header.TaskID, f.Lines, e.Index}
	if i, ok := s.recipientOf[r.TaskID]; ok {
		s.recipients[i] = r
		return nil
	}
	s.recipientOf[r.TaskID] = len(s.recipients)
	s.recipients = append(s.recipients, r)
	return nil
}
