package daemon

import (
	"time"

	"griffier/api/disclosure/execute"
	"griffier/api/ledger"
	"griffier/api/warrant/warrantrpc"
)

// watcher returns what tells the ledger, the log and the metrics what time does to
// warrants.
func (s *services) watcher(book *ledger.Log) *warrantrpc.Watcher {
	s.registry.MustRegister(warrantrpc.Collector{State: s.warrants, Now: time.Now}, execute.Collector{State: s.warrants})
	return &warrantrpc.Watcher{Book: book, State: s.warrants, Rules: s.rules, Now: time.Now, Ended: s.executor.Ended, Log: s.log}
}
