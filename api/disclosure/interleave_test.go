package disclosure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/disclosure"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// TestInterleavings plays a thousand warrants, a few at a time, in each of which
// execution, release, fetch and whatever can end or change the warrant (expiry,
// revocation, and what else the lifecycle has) happen in an order by chance. The
// clock is the lab's own and is stepped, over the end of some warrants, by whoever
// comes to it; the query is the real one and lasts as long as chance has it.
//
// Then the ledger is read, and nothing else: no release at or after an end, one
// release of one package at most, and not a byte handed out without its entry.
func TestInterleavings(t *testing.T) {
	rounds, atOnce := 1000, 16
	if testing.Short() {
		rounds = 100
	}
	l := newLab(t)
	l.Limit = time.Minute // what a busy machine takes is no outage
	l.Restart()
	l.Traffic.During = func(context.Context) { time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) }
	r := &race{lab: l, ends: map[string]time.Time{}, got: map[string]map[string]int{}, outcomes: map[string]int{}}
	work := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for n := range work {
				r.round(n)
			}
		})
	}
	for n := range rounds {
		work <- n
	}
	close(work)
	wg.Wait()
	t.Logf("%v", r.outcomes)
	for _, kind := range []string{"executed", "expired", "revoked", "cancelled", "edited", "suspended", "resumed", "fetched", "refused"} {
		if r.outcomes[kind] < rounds/100 {
			t.Errorf("%d times %s in %d rounds: the race is not one", r.outcomes[kind], kind, rounds)
		}
	}
	if err := l.Executor.Recover(t.Context()); err != nil { // sweeps
		t.Error(err)
	}
	r.judge()
}

type race struct {
	*lab
	mu       sync.Mutex
	ends     map[string]time.Time      // end of validity by warrant
	got      map[string]map[string]int // how often which package was handed out, by task
	outcomes map[string]int
}

func (r *race) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[what]++
}

// round is the n-th warrant, with one task; the clock goes over the end of every thirtieth.
func (r *race) round(n int) {
	w, task := r.shortLived(10 * time.Minute)
	if task == nil { // the clock stepped over its end on the way
		r.count("not begun")
		return
	}
	until, _ := time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
	r.mu.Lock()
	r.ends[w.WarrantId] = until
	r.mu.Unlock()
	acts := []func(){func() { r.run(task) }, func() { r.run(task) }, func() { r.take(task) }, func() { r.take(task) }}
	enders := r.enders(w)
	acts = append(acts, late(enders[rand.IntN(len(enders))]))
	if n%30 == 0 { // over the end of this one, or to just before it
		acts = append(acts, late(func() {
			r.advance(until.Sub(r.Now()) - time.Duration(rand.IntN(20))*time.Millisecond + time.Duration(rand.IntN(10))*time.Millisecond)
			r.count("expired")
		}))
	}
	rand.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	var wg sync.WaitGroup
	for _, act := range acts {
		wg.Go(func() {
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			act()
		})
	}
	wg.Wait()
	r.run(task) // what a suspension left sealed is released once it is over
}

// late is an act that comes at any time while an execution takes on a busy machine.
func late(act func()) func() {
	return func() {
		time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond)
		act()
	}
}

// advance moves the clock on, never back.
func (r *race) advance(d time.Duration) {
	if d > 0 {
		r.Skew.Add(int64(d))
	}
}

// enders are the ways in which a warrant ends or changes other than by time.
func (r *race) enders(w *griffierv1.Warrant) []func() {
	done := func(what string, err error) {
		r.allow(err)
		if err == nil {
			r.count(what)
		}
	}
	return []func(){
		func() {},
		func() {
			_, err := r.Warrants.RevokeWarrant(r.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: r.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation})
			done("revoked", err)
		},
		func() {
			_, err := r.Warrants.CancelWarrant(r.Officer(), &griffierv1.CancelWarrantRequest{RequestId: r.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Explanation: "the authority withdrew it"})
			done("cancelled", err)
		},
		func() {
			content := proto.Clone(w.Content).(*griffierv1.WarrantContent)
			content.RequestedBy = "K. de Vries"
			_, err := r.Warrants.EditWarrant(r.Officer(), &griffierv1.EditWarrantRequest{RequestId: r.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Content: content})
			done("edited", err)
		},
		func() {
			_, err := r.Warrants.SuspendWarrant(r.Approver(), &griffierv1.SuspendWarrantRequest{RequestId: r.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Explanation: "a question"})
			done("suspended", err)
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			_, err = r.Resume(w)
			done("resumed", err)
		},
	}
}

func (r *race) run(task *griffierv1.Task) {
	_, err := r.Execute(task)
	r.allow(err)
	if err == nil {
		r.count("executed")
	} else {
		r.count("refused")
		r.count("refused: " + string(reason.Of(err)))
	}
}

func (r *race) take(task *griffierv1.Task) {
	for range 5 {
		sealed, _, err := r.FetchOnce(r.Approver(), task)
		r.allow(err)
		if err == nil {
			r.count("fetched")
			r.mu.Lock()
			if r.got[task.TaskId] == nil {
				r.got[task.TaskId] = map[string]int{}
			}
			r.got[task.TaskId][disclosure.SHA256(sealed)]++
			r.mu.Unlock()
			return
		}
		if len(sealed) > 0 && reason.Of(err) != "" {
			r.T.Errorf("%d bytes came with %v", len(sealed), err)
		}
		if over := reason.Of(err); over == reason.WarrantTerminal || over == reason.WarrantExpired || over == reason.DownloadUsed {
			return
		}
		time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond)
	}
}

// allow wants no error, or a reason that a race may end in.
func (r *race) allow(err error) {
	switch reason.Of(err) {
	case "", reason.WarrantExpired, reason.WarrantTerminal, reason.WarrantSuspended, reason.GenerationMismatch, reason.NotFound, reason.DownloadUsed, reason.WarrantIncomplete:
		if reason.Of(err) == "" && err != nil {
			r.T.Error(err)
		}
	default:
		r.T.Error(err)
	}
}

// judge reads the ledger from its first entry.
func (r *race) judge() {
	type story struct {
		intents, results, aborts, releases, fetches, destroyed int
		sealed                                                 string // by the last result
		released                                               string
	}
	stories := map[string]*story{}
	// What ended or halted a warrant, until a resumption, and what gave it another
	// content: the entry of it. What was released before an edit was released rightly,
	// and may still be fetched.
	over, edited, halves := map[string]uint64{}, map[string]uint64{}, map[string]int{}
	for _, e := range r.Entries() {
		h := e.Header
		switch h.Kind {
		case warrant.KindRevoke, warrant.KindCancel, warrant.KindSuspend:
			over[h.WarrantID] = e.Index
		case warrant.KindEdit:
			edited[h.WarrantID] = e.Index
		case warrant.KindResume: // by two people
			if halves[h.WarrantID]++; halves[h.WarrantID]%2 == 0 {
				delete(over, h.WarrantID)
			}
		}
		if h.TaskID == "" || r.ends[h.WarrantID].IsZero() {
			continue
		}
		s := stories[h.TaskID]
		if s == nil {
			s = &story{}
			stories[h.TaskID] = s
		}
		stopped, is := over[h.WarrantID]
		if changed, yes := edited[h.WarrantID]; yes && h.Kind != warrant.KindFetch {
			stopped, is = changed, true
		}
		ended := is || !h.At.Before(r.ends[h.WarrantID])
		switch h.Kind {
		case warrant.KindTaskCreate:
		case warrant.KindTaskIntent:
			s.intents++
		case warrant.KindTaskResult:
			s.results++
			s.sealed = r.packageOf(e)
		case warrant.KindRelease:
			s.releases++
			s.released = s.sealed
		case warrant.KindFetch:
			if s.fetches++; s.released == "" || s.destroyed > 0 {
				r.T.Errorf("entry %d: a package that is not released, or is destroyed, is fetched", e.Index)
			}
		case warrant.KindAbort:
			s.aborts++
			ended = false // that is what an abort is for
		case warrant.KindDestroy:
			if s.destroyed++; !ended {
				r.T.Errorf("entry %d: destroyed while the warrant lasts", e.Index)
			}
			ended = false
		}
		if ended {
			r.T.Errorf("entry %d, %s, at %v: the warrant's end is %v, it was stopped by entry %d (%v)", e.Index, h.Kind, h.At, r.ends[h.WarrantID], stopped, is)
		}
	}
	for id, s := range stories {
		if s.releases > 1 || s.destroyed > 1 || s.results > s.intents || s.intents != s.releases+s.aborts {
			r.T.Errorf("task %s: %+v", id, *s)
		}
		handed := 0
		for hash, n := range r.got[id] {
			if handed += n; hash != s.released {
				r.T.Errorf("task %s: another package than the released one was handed out", id)
			}
		}
		if handed > s.fetches {
			r.T.Errorf("task %s: handed out %d times, with %d entries", id, handed, s.fetches)
		}
	}
	if len(stories) < len(r.ends) {
		r.T.Errorf("%d stories of %d tasks", len(stories), len(r.ends))
	}
	// What is on disk is what is released and not destroyed, and nothing else.
	for _, name := range r.Shelved() {
		if s := stories[name[:min(32, len(name))]]; s == nil || s.releases != 1 || s.destroyed != 0 {
			r.T.Errorf("left behind: %s", name)
		}
	}
}

func (r *race) packageOf(e ledger.Entry) string {
	var facts warrant.ResultFacts
	if err := json.Unmarshal(e.Header.Facts, &facts); err != nil {
		r.T.Error(fmt.Errorf("entry %d: %w", e.Index, err))
	}
	return facts.PackageSHA256
}
