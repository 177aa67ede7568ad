package keep

import (
	"net/netip"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// Limits of one hold. More than either is refused whole.
const (
	MaxRows = 200_000
	MaxRefs = 64
	// MaxFileBytes bounds what is read back.
	MaxFileBytes = 256 << 20
)

// Head says what a hold is of, and how much. It is the first chunk.
type Head struct {
	HoldID    string     `json:"hold_id"`
	WarrantID string     `json:"warrant_id"`
	TaskID    string     `json:"task_id"`
	Address   netip.Addr `json:"address"`            // invalid: it is of a line
	Port      uint16     `json:"port,omitempty"`     // 0: every one
	Protocol  uint8      `json:"protocol,omitempty"` // 0: every one
	// From and To are the interval that was copied, both inclusive.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Limits are what each class of rows was kept by, and how far back it could be
	// read, when they were copied: older ones were gone already.
	Limits   map[schema.Class]schema.Limit `json:"limits"`
	CopiedAt time.Time                     `json:"copied_at"`
	Rows     map[schema.Class]uint64       `json:"rows"`
	Oldest   map[schema.Class]time.Time    `json:"oldest"` // ended_at of the oldest row
	Lines    []string                      `json:"lines"`
	Refs     []schema.AccessRef            `json:"refs"`
}

// History is what pseudonyms had and did in an interval.
type History struct {
	Sessions    []schema.Session
	Assignments []schema.Assignment
	Usage       []schema.Usage
	UsageDays   []schema.UsageDay
}

// Person is who a line belonged to when it was copied: without a name once that
// was erased, and without a billing address always.
type Person struct {
	LineID        string          `json:"line_id"`
	ContractStart time.Time       `json:"contract_start"`
	ContractEnd   time.Time       `json:"contract_end"`
	Erased        bool            `json:"erased,omitempty"`
	Person        register.Person `json:"person"`
}

// Contents are what a hold has: what there was of the target in the interval, and
// of the pseudonyms that had it everything in the interval. Of the register there
// is what is needed to say whose they were.
type Contents struct {
	Head    Head
	Ranges  []register.Range
	Lines   []register.Held
	Persons []Person
	// Target are the assignments of the target, and of the inside addresses that a
	// translator had behind it; Assignments those of the pseudonyms.
	Target      []schema.Assignment
	Assignments []schema.Assignment
	Sessions    []schema.Session
	Usage       []schema.Usage
	UsageDays   []schema.UsageDay
	Coverage    []schema.Coverage
}

// count fills in the head's figures.
func (c *Contents) count() {
	c.Head.Rows, c.Head.Oldest = map[schema.Class]uint64{}, map[schema.Class]time.Time{}
	note := func(class schema.Class, ended time.Time) {
		c.Head.Rows[class]++
		if oldest, ok := c.Head.Oldest[class]; !ok || ended.Before(oldest) {
			c.Head.Oldest[class] = ended.UTC()
		}
	}
	for i := range c.Target {
		note(schema.ClassAssignment, c.Target[i].EndedAt)
	}
	for i := range c.Assignments {
		note(schema.ClassAssignment, c.Assignments[i].EndedAt)
	}
	for i := range c.Sessions {
		note(schema.ClassSession, c.Sessions[i].EndedAt)
	}
	for i := range c.Usage {
		note(schema.ClassUsage5m, c.Usage[i].EndedAt)
	}
	for i := range c.UsageDays {
		note(schema.ClassUsageDay, c.UsageDays[i].EndedAt)
	}
	for i := range c.Coverage {
		note(schema.ClassCoverage, c.Coverage[i].EndedAt)
	}
}

// Total returns how many rows there are.
func (h Head) Total() (n uint64) {
	for _, rows := range h.Rows {
		n += rows
	}
	return n
}

// record is one line of a chunk: one of its members is set.
type record struct {
	Head       *Head              `json:"head,omitempty"`
	Range      *register.Range    `json:"range,omitempty"`
	Line       *register.Held     `json:"line,omitempty"`
	Person     *Person            `json:"person,omitempty"`
	Target     *schema.Assignment `json:"target,omitempty"`
	Assignment *schema.Assignment `json:"assignment,omitempty"`
	Session    *schema.Session    `json:"session,omitempty"`
	Usage      *schema.Usage      `json:"usage,omitempty"`
	UsageDay   *schema.UsageDay   `json:"usage_day,omitempty"`
	Coverage   *schema.Coverage   `json:"coverage,omitempty"`
}

// records calls each for every part of the contents but the head.
func (c *Contents) records(each func(record) error) error {
	var err error
	put := func(r record) {
		if err == nil {
			err = each(r)
		}
	}
	for i := range c.Ranges {
		put(record{Range: &c.Ranges[i]})
	}
	for i := range c.Lines {
		put(record{Line: &c.Lines[i]})
	}
	for i := range c.Persons {
		put(record{Person: &c.Persons[i]})
	}
	for i := range c.Target {
		put(record{Target: &c.Target[i]})
	}
	for i := range c.Assignments {
		put(record{Assignment: &c.Assignments[i]})
	}
	for i := range c.Sessions {
		put(record{Session: &c.Sessions[i]})
	}
	for i := range c.Usage {
		put(record{Usage: &c.Usage[i]})
	}
	for i := range c.UsageDays {
		put(record{UsageDay: &c.UsageDays[i]})
	}
	for i := range c.Coverage {
		put(record{Coverage: &c.Coverage[i]})
	}
	return err
}

// take adds a record, and reports whether it was exactly one part, not the head.
func (c *Contents) take(r record) bool {
	parts := 0
	if r.Range != nil {
		c.Ranges, parts = append(c.Ranges, *r.Range), parts+1
	}
	if r.Line != nil {
		c.Lines, parts = append(c.Lines, *r.Line), parts+1
	}
	if r.Person != nil {
		c.Persons, parts = append(c.Persons, *r.Person), parts+1
	}
	if r.Target != nil {
		c.Target, parts = append(c.Target, *r.Target), parts+1
	}
	if r.Assignment != nil {
		c.Assignments, parts = append(c.Assignments, *r.Assignment), parts+1
	}
	if r.Session != nil {
		c.Sessions, parts = append(c.Sessions, *r.Session), parts+1
	}
	if r.Usage != nil {
		c.Usage, parts = append(c.Usage, *r.Usage), parts+1
	}
	if r.UsageDay != nil {
		c.UsageDays, parts = append(c.UsageDays, *r.UsageDay), parts+1
	}
	if r.Coverage != nil {
		c.Coverage, parts = append(c.Coverage, *r.Coverage), parts+1
	}
	return parts == 1 && r.Head == nil
}
