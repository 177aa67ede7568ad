package letter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"griffier/api/reason"
)

// Letter is what a letter says. Times are instants; the letter shows them in UTC
// and in Zone.
type Letter struct {
	Language Language
	Zone     *time.Location
	At       time.Time // when the question was asked: the letter's date

	Provider    string
	Authority   string
	RequestedBy string
	Reference   string // the authority's
	LegalBasis  string
	WarrantID   string
	TaskID      string
	LogIndex    uint64 // of the intent in the ledger
	Corrects    string // SHA-256 of the package that this one corrects; empty: none

	Question  Question
	Answer    Answer
	Records   []Record
	Searched  []string // in the manifest's words
	FromHold  string   // hold that was asked; empty: the store
	Retention *Retention
	Coverage  []Cover
	// Neighbouring warns that another line had the address close to the interval.
	Neighbouring bool
	// Incomplete are the reasons for which records may be missing.
	Incomplete []reason.Reason
}

// Question is the question as it was entered, and as it was understood.
type Question struct {
	Category         string // of the warrant's words: ATTRIBUTION, …
	Target           string
	OfLine           bool   // the target names a line, and is no address or prefix
	Port, Protocol   string // empty: not stated
	InstantEntered   string
	WindowEndEntered string // empty: an instant and no window
	Instant          time.Time
	Uncertainty      time.Duration
	ClockMargin      time.Duration
	From, To         time.Time // of the interval, both inclusive
}

// Answer is the typed answer.
type Answer struct {
	Reason   reason.Reason
	Provider string    // OTHER_PROVIDER
	Band     string    // of lines that share an address
	HoldID   string    // PRESERVED
	Until    time.Time // PRESERVED
}

// Retention is the retention in force. A period that is empty means that nothing
// of the class may be read.
type Retention struct {
	Period, Zone string
	ReadableFrom time.Time
}

// Cover is a collector's coverage of a part of the interval.
type Cover struct {
	Collector, State string
	From, To         time.Time
	ClockSynced      bool
}

// Record is a record's fields, in the order of the columns.
type Record []Field

// Field is a column's name and value. A value that is an instant in RFC 3339 is
// shown in UTC and in local time.
type Field struct{ Name, Value string }

// MaxRecords is how many records a letter prints. Where there are more, it says
// how many, and that they are in the package's tables.
const MaxRecords = 100

// Positive reports whether an answer discloses something.
func (a Answer) Positive() bool { return a.Reason == reason.Match }

// Render returns the letter as PDF. What its language has no words for is an error:
// the language itself, a reason, a column, something that was searched. So is a letter
// without a zone.
func Render(l Letter) ([]byte, error) {
	w, ok := vocabularies[l.Language]
	if !ok {
		return nil, fmt.Errorf("letter: no words in language %q", l.Language)
	}
	if _, ok := w.answers[l.Answer.Reason]; !ok {
		return nil, fmt.Errorf("letter: no words for the answer %s", l.Answer.Reason)
	}
	if s := w.missing(l); s != "" {
		return nil, fmt.Errorf("letter: no words in language %q for %q", l.Language, s)
	}
	if l.Zone == nil {
		return nil, fmt.Errorf("letter: a zone is needed")
	}
	// The first pass counts the pages that the second one's feet name.
	first, err := newPage(l, w, 0)
	if err != nil {
		return nil, err
	}
	first.write()
	second, err := newPage(l, w, first.pdf.PageCount())
	if err != nil {
		return nil, err
	}
	second.write()
	var b bytes.Buffer
	if err := second.pdf.Output(&b); err != nil {
		return nil, fmt.Errorf("letter: %w", err)
	}
	return b.Bytes(), nil
}

// write puts the letter on its pages, from top to bottom.
func (p *page) write() {
	l, w := p.l, p.w
	p.pdf.AddPage()
	p.head()
	p.gap(4)
	p.row(w.to, l.Authority)
	p.row(w.attention, l.RequestedBy)
	p.row(w.yourReference, l.Reference)
	p.row(w.legalBasis, l.LegalBasis)
	p.row(w.ourCase, l.WarrantID)
	p.row(w.ourTask, l.TaskID)
	p.row(w.ledger, fmt.Sprintf(w.ledgerEntry, l.LogIndex))
	p.row(w.date, p.local(l.At.Truncate(time.Second))) // no clock of ours is asked more of
	p.gap(3)
	p.title(w.title(l))
	if l.Corrects != "" {
		p.boxed(w.correction, fmt.Sprintf(w.correctionText, l.Corrects))
	}
	p.question()
	p.answer()
	p.records()
	p.searched()
	p.boxed(w.disclaimerTitle, w.disclaimer)
	p.gap(2)
	p.paragraph(w.authenticity)
	if p.unshown {
		p.paragraph(w.unshown)
	}
}

func (p *page) question() {
	q, w := p.l.Question, p.w
	p.heading(w.questionHead)
	p.paragraph(w.questionSentence(q))
	p.row(w.target, q.Target)
	if q.Port != "" {
		p.row(w.port, q.Port)
	}
	if q.Protocol != "" {
		p.row(w.protocol, protocolName(q.Protocol))
	}
	p.row(w.entered, q.InstantEntered)
	if q.WindowEndEntered != "" {
		p.row(w.enteredEnd, q.WindowEndEntered)
	}
	p.row(w.inUTC, p.utc(q.Instant))
	p.row(w.inLocal, p.local(q.Instant))
	p.row(w.margin, fmt.Sprintf(w.marginText, seconds(q.Uncertainty), seconds(q.ClockMargin)))
	p.row(w.interval, p.utc(q.From)+w.until+p.utc(q.To)+w.inclusive)
	p.row("", p.local(q.From)+w.until+p.local(q.To)+w.inclusive)
}

func (p *page) answer() {
	a, w := p.l.Answer, p.w
	words := w.answer(p.l)
	p.heading(w.answerHead)
	p.strong(words.short)
	p.paragraph(words.long)
	p.row(w.code, string(a.Reason))
	if len(p.l.Incomplete) > 0 {
		var why []string
		for _, r := range p.l.Incomplete {
			why = append(why, string(r)+": "+w.answers[r].short)
		}
		p.boxed(w.incompleteTitle, w.incomplete+" "+strings.Join(why, " "))
	}
	if a.Provider != "" {
		p.row(w.otherProvider, a.Provider)
	}
	if a.Band != "" {
		p.row(w.sharing, a.Band)
	}
	if a.HoldID != "" {
		p.row(w.hold, a.HoldID)
		p.row(w.heldUntil, p.utc(a.Until)+w.exclusive)
		p.row("", p.local(a.Until)+w.exclusive)
	}
	if p.l.Neighbouring {
		p.boxed(w.neighbourTitle, w.neighbour)
	}
}

func (p *page) records() {
	l, w := p.l, p.w
	shown := l.Records[:min(len(l.Records), MaxRecords)]
	for i, r := range shown {
		p.heading(fmt.Sprintf(w.recordHead, i+1, len(l.Records)))
		role := slices.ContainsFunc(r, func(f Field) bool { return strings.HasPrefix(f.Name, installation) && f.Value != "" })
		for _, f := range r {
			if f.Value == "" {
				continue
			}
			p.field(f)
		}
		if role {
			p.note(w.installationRole)
		}
	}
	if more := len(l.Records) - len(shown); more > 0 {
		p.paragraph(fmt.Sprintf(w.moreRecords, more, len(l.Records)))
	}
}

// installation begins the names of the columns that say where a line is.
const installation = "installation_"

func (p *page) field(f Field) {
	label := p.w.label(f.Name)
	at, err := time.Parse(time.RFC3339Nano, f.Value)
	if err != nil {
		p.row(label, f.Value)
		return
	}
	p.room(4 * line) // one instant is not torn apart
	p.row(label, f.Value)
	p.row("", p.utc(at))
	p.row("", p.local(at))
}

func (p *page) searched() {
	l, w := p.l, p.w
	p.heading(w.searchedHead)
	for _, s := range l.Searched {
		p.item(w.searched(s))
	}
	if l.FromHold != "" {
		p.row(w.askedHold, l.FromHold)
	}
	if r := l.Retention; r != nil {
		label := w.retention
		if l.FromHold != "" {
			label = w.retentionThen
		}
		if r.Period == "" {
			p.row(label, w.retentionNone)
		} else {
			p.row(label, fmt.Sprintf(w.retentionText, r.Period, r.Zone, p.utc(r.ReadableFrom.Truncate(time.Second))))
		}
		p.row(w.coverage, w.coverageText(len(l.Coverage)))
		for _, c := range l.Coverage {
			p.row("", fmt.Sprintf("%s: %s, %s%s%s, %s", c.Collector, w.state(c.State), p.utc(c.From), w.until, p.utc(c.To), w.clock(c.ClockSynced)))
		}
	}
}

func seconds(d time.Duration) string {
	return strings.TrimSuffix(fmt.Sprintf("%.3f", d.Seconds()), ".000")
}

// protocolName names the transport protocols that a task may have.
func protocolName(number string) string {
	if name, ok := map[string]string{"1": "ICMP", "6": "TCP", "17": "UDP", "33": "DCCP", "58": "ICMPv6", "132": "SCTP"}[number]; ok {
		return name + " (" + number + ")"
	}
	return number
}
