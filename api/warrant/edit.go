package warrant

import (
	"encoding/json"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of the entries that give a warrant another content.
const (
	KindEdit   = "warrant.edit"
	KindExtend = "warrant.extend"
)

// OpenTask is a task that was not answered, with its question, which the shell
// reads from its sealed body.
type OpenTask struct {
	Task     Task
	Question TaskBody
}

// EditRequest gives a warrant another content. Before is the content that it has,
// and Open are its open tasks; Salt is random, made by the shell.
type EditRequest struct {
	WarrantID  string
	Generation uint64
	Salt       string
	Content    Content
	Before     Content
	Open       []OpenTask
}

// editFacts are those of a new content. The header's generation is the one that
// the edit was decided on; the content's is one more.
type editFacts struct {
	Revision uint64 `json:"revision"`
	createFacts
	// KeepsCallBack says that the authority was called back about all that matters
	// of the new content too.
	KeepsCallBack bool `json:"keeps_call_back"`
	// Tasks are those that ask what the new content still covers. They go on under
	// the new generation, once it is approved; every other open task never runs.
	Tasks []string `json:"tasks"`
}

// Edit judges another content as a new warrant's would be. The generation rises,
// every approval is void, and so are confirmations of its tasks; nothing runs until
// it is approved anew. A task keeps its place only if it could be asked, word for
// word, under the new content. A later end is not an edit but an extension, which
// needs a document.
func (r *Rules) Edit(s *State, now time.Time, by Caller, req EditRequest) (ledger.Draft, *reason.Error) {
	w, err := r.changeable(s, now, by, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	f, err := r.judge(s, now, by, req.Content, req.Salt, &w)
	if err != nil {
		return ledger.Draft{}, err
	}
	if f.ValidUntil.After(w.ValidUntil) {
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete,
			reason.Violation{Field: "content.valid_until", Description: "is later than it was: extend the warrant, by a new document"})
	}
	if (f.Authority != w.Authority || f.Basis != w.Basis) && s.answered(w) {
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "content.authority",
			Description: "and legal_basis stay as they are once an answer was released: what another authority orders, or by another article, is another warrant"})
	}
	if f.ContentSHA256 == req.Before.Hash(req.Salt) {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "content", Description: "is what the warrant says already"})
	}
	return r.change(s, KindEdit, now, by, w, f, req)
}

// answered reports whether an answer was released under a warrant. To whom, and on what
// basis, is what the person concerned is told of it.
func (s *State) answered(w Warrant) bool {
	return slices.ContainsFunc(w.Tasks, func(id string) bool { t, _, _ := s.Task(id); return !t.ReleasedAt.IsZero() })
}

// ExtendRequest lets a warrant last longer, by a new document.
type ExtendRequest struct {
	WarrantID      string
	Generation     uint64
	Salt           string
	ValidUntil     string // RFC 3339 with an offset, strictly later than it was
	DocumentSHA256 string // of the new document
	Before         Content
	Open           []OpenTask
}

// Content returns the content that the extension leaves: the old one with its end
// and document replaced, and on paper, also when the order was oral.
func (q ExtendRequest) Content() Content {
	c := q.Before
	c.ValidUntil, c.DocumentSHA256, c.Emergency = q.ValidUntil, q.DocumentSHA256, false
	return c
}

// Extend judges an extension. The new document is served now, so the clocks start
// again; the generation rises and every approval is to be given again. What the
// basis allows is measured from the end that is extended.
func (r *Rules) Extend(s *State, now time.Time, by Caller, req ExtendRequest) (ledger.Draft, *reason.Error) {
	w, err := r.changeable(s, now, by, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if req.DocumentSHA256 != "" && req.DocumentSHA256 == req.Before.DocumentSHA256 {
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete,
			reason.Violation{Field: "content.document_sha256", Description: "is that of the document which ordered it: an extension has a document of its own"})
	}
	longer := w
	longer.ServedAt, longer.PeriodFrom = now, w.ValidUntil
	f, err := r.judge(s, now, by, req.Content(), req.Salt, &longer)
	if err != nil {
		return ledger.Draft{}, err
	}
	if !f.ValidUntil.After(w.ValidUntil) {
		return ledger.Draft{}, reason.Invalid(reason.WarrantIncomplete,
			reason.Violation{Field: "content.valid_until", Description: "must be later than the end that is extended"})
	}
	return r.change(s, KindExtend, now, by, w, f, EditRequest{Content: req.Content(), Salt: req.Salt, Before: req.Before, Open: req.Open})
}

// changeable returns the warrant if its content may be changed. One that has
// ended, also by its own lapse, is never changed.
func (r *Rules) changeable(s *State, now time.Time, by Caller, id string, generation uint64) (Warrant, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return Warrant{}, reason.New(reason.PermissionDenied, "")
	}
	w, err := s.liveWarrant(now, id, generation)
	if err != nil && err.Reason == reason.WarrantExpired {
		err = reason.New(reason.WarrantTerminal, "Its validity has ended: it needs a new order.")
	}
	return w, err
}

// change drafts the entry of a new content that was judged good.
func (r *Rules) change(s *State, kind string, now time.Time, by Caller, w Warrant, f createFacts, req EditRequest) (ledger.Draft, *reason.Error) {
	facts := editFacts{Revision: w.Revision, createFacts: f, KeepsCallBack: req.Content.KeepsCallBack(req.Before), Tasks: []string{}}
	after := w
	after.change(editFacts{createFacts: f, KeepsCallBack: facts.KeepsCallBack}, now)
	for _, id := range w.Tasks { // one that was made since the shell looked would be left behind
		if t, _, _ := s.Task(id); t.Asks(&w) && !slices.ContainsFunc(req.Open, func(o OpenTask) bool { return o.Task.ID == id }) {
			return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
		}
	}
	for _, o := range req.Open {
		if t, _, _ := s.Task(o.Task.ID); t.Asks(&w) && r.stillAsks(now, after, o, req.Content) {
			facts.Tasks = append(facts.Tasks, o.Task.ID)
		}
	}
	slices.Sort(facts.Tasks)
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(LegalOfficer), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: facts, Body: CreateBody{Content: req.Content, Salt: req.Salt}}, nil
}

// stillAsks reports whether a task could be made, as it is, under what an edit
// leaves of its warrant.
func (r *Rules) stillAsks(now time.Time, after Warrant, o OpenTask, content Content) bool {
	after.Tasks = nil // how many there may be was judged when it was made
	alone := NewState()
	alone.warrants[after.ID] = &after
	_, err := r.CreateTask(alone, now, Caller{Actor: o.Task.CreatedBy, Roles: []Role{LegalOfficer}}, o.request(after.Generation), content)
	return err == nil
}

// request is the request by which the task would be made.
func (o OpenTask) request(generation uint64) TaskRequest {
	q := o.Question
	return TaskRequest{ID: o.Task.ID, WarrantID: o.Task.WarrantID, Generation: generation, Category: o.Task.Category, Target: q.Target, Instant: q.Instant,
		UncertaintySeconds: q.UncertaintySeconds, Port: q.Port, Protocol: q.Protocol, WindowEnd: q.WindowEnd, HoldDays: q.HoldDays, FromHold: q.FromHold,
		MaxSubjects: q.MaxSubjects, MaxRecords: q.MaxRecords}
}

func (s *State) applyEdit(e ledger.Entry) (bool, error) {
	var f editFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil {
		return false, nil
	}
	if holder := s.duplicates[f.DuplicateKey]; holder != "" && holder != w.ID {
		return false, nil
	}
	delete(s.duplicates, w.DuplicateKey)
	s.duplicates[f.DuplicateKey] = w.ID
	w.change(f, e.Header.At)
	w.ContentIndex = e.Index
	for _, id := range f.Tasks {
		if t := s.tasks[id]; t != nil && t.WarrantID == w.ID && t.open() {
			t.Generation = w.Generation
			t.ConfirmedBy, t.ConfirmedAt, t.ConfirmedIndex = "", time.Time{}, 0
		}
	}
	s.acted(w)
	return true, nil
}

// change gives w the content of an edit or extension that happened at an instant.
func (w *Warrant) change(f editFacts, at time.Time) {
	w.set(f.createFacts)
	w.Generation++
	w.Revision++
	w.Approvals, w.Consents = nil, nil
	if !f.KeepsCallBack {
		w.voidCallBack()
	}
	w.NoticeClearedAt, w.PaperAt = time.Time{}, time.Time{}
	if f.Emergency && f.DocumentKey != "" { // the paper is part of the content
		w.PaperAt = at
	}
}
