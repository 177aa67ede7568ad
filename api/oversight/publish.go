package oversight

import (
	"encoding/json"
	"strconv"

	"griffier/api/ledger"
)

// KindPublished is the entry of a year's public report, with all of it in the clear.
const KindPublished = "oversight.published"

type publishedFacts struct {
	Year   int     `json:"year"`
	Tables []Table `json:"tables"`
}

// Publish drafts the entry of a year's public report. There is one: what came to
// light or was destroyed since would be the difference to a second.
func Publish(year int, tables []Table) ledger.Draft {
	if tables == nil {
		tables = []Table{}
	}
	return ledger.Draft{Kind: KindPublished, Role: "system", Facts: publishedFacts{year, tables}}
}

// PublishRequest names the decision on a year, so that it is made once.
func PublishRequest(year int) string {
	return ledger.RequestID("oversight", "publish", strconv.Itoa(year))
}

// Published returns what was published of a year; no tables when it had too little.
func (s *State) Published(year int) ([]Table, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tables, ok := s.published[year]
	return tables, ok
}

func (s *State) applyPublished(e ledger.Entry) error {
	var f publishedFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return err
	}
	if _, ok := s.published[f.Year]; !ok {
		s.published[f.Year] = f.Tables
	}
	return nil
}
