package disclosure

import (
	"errors"
	"fmt"
	"time"

	"griffier/api/disclosure/letter"
	"griffier/api/reason"
)

// letterOf returns what the letter says. Like response.xml it follows from the
// manifest and the rows of records.csv.
func letterOf(m Manifest, to Addressee, rows [][]string) (letter.Letter, error) {
	zone, err := time.LoadLocation(m.Question.LocalZone)
	if err != nil {
		return letter.Letter{}, fmt.Errorf("zone of the letter: %w", err)
	}
	q := m.Question
	l := letter.Letter{
		Language: letter.Language(m.Language), Zone: zone, At: m.QueriedAt,
		Provider: to.Provider, Authority: to.Authority, RequestedBy: to.RequestedBy, Reference: to.Reference, LegalBasis: m.LegalBasis,
		WarrantID: m.WarrantID, TaskID: m.TaskID, LogIndex: m.IntentIndex, Corrects: m.CorrectsSHA256,
		Question: letter.Question{Category: m.Category, Target: q.Address, OfLine: q.ofLine(), Port: number(q.Port), Protocol: number(q.Protocol), InstantEntered: q.InstantEntered,
			WindowEndEntered: q.WindowEndEntered, Instant: q.InstantUTC, Uncertainty: secondsOf(q.StatedUncertaintySeconds), ClockMargin: secondsOf(q.ClockMarginSeconds),
			From: q.IntervalFromUTC, To: q.IntervalToUTC},
		Answer:   letter.Answer{Reason: m.Answer.Reason, Provider: m.Answer.Provider, Band: m.Answer.CandidateBand},
		Searched: m.Searched, FromHold: m.FromHold, Neighbouring: m.Answer.Neighbours != "", Incomplete: m.Answer.Incomplete,
	}
	if m.Preserved != nil {
		l.Answer.HoldID, l.Answer.Until = m.Preserved.HoldID, m.Preserved.UntilUTC
	}
	// Of a preservation, and of a hold that does not have it, nothing of the traffic is told.
	if m.Answer.Reason != reason.Preserved && m.Answer.Reason != reason.DataNotHeld && m.Retention.Zone != "" {
		l.Retention = &letter.Retention{Period: m.Retention.Period, Zone: m.Retention.Zone, ReadableFrom: m.Retention.ReadableFromUTC}
		for _, c := range m.Coverage {
			l.Coverage = append(l.Coverage, letter.Cover{Collector: c.CollectorID, State: c.State, From: c.FromUTC, To: c.ToUTC, ClockSynced: c.ClockSynced})
		}
	}
	for _, row := range rows {
		var r letter.Record
		for i, name := range m.Columns {
			r = append(r, letter.Field{Name: name, Value: row[i]})
		}
		l.Records = append(l.Records, r)
	}
	return l, nil
}

func secondsOf(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// letterAgrees asks of a letter whether it says what it must: the question and
// the answer as the manifest has them, who asked as response.xml has it, and every
// record that a letter prints. What else it may say is for its hash in the manifest.
func letterAgrees(text *letter.Reading, m Manifest, to Addressee, rows [][]string) error {
	for _, must := range []struct{ what, value string }{
		{"authority", to.Authority}, {"reference", to.Reference}, {"task", m.TaskID}, {"warrant", m.WarrantID}, {"target", m.Question.Address},
		{"port", number(m.Question.Port)}, {"instant as entered", m.Question.InstantEntered}, {"answer", string(m.Answer.Reason)},
		{"instant in UTC", m.Question.InstantUTC.UTC().Format("15:04:05.999999999") + " UTC"},
		{"local instant", m.Question.InstantUTC.In(zoneOf(m)).Format("15:04:05.999999999 MST (UTC-07:00")},
		{"other provider", m.Answer.Provider}, {"corrected package", m.CorrectsSHA256},
	} {
		if must.value != "" && !text.Shows(must.value) {
			return fmt.Errorf("letter.pdf does not have the %s of the manifest or of response.xml", must.what)
		}
	}
	for _, row := range rows[:min(len(rows), letter.MaxRecords)] {
		for i, value := range row {
			if value != "" && !text.Shows(value) {
				return fmt.Errorf("letter.pdf does not have the %s of a record", m.Columns[i])
			}
		}
	}
	if m.Answer.Reason != reason.Match && len(rows) > 0 {
		return errors.New("a negative answer with records")
	}
	return nil
}

func zoneOf(m Manifest) *time.Location {
	zone, err := time.LoadLocation(m.Question.LocalZone)
	if err != nil {
		return time.UTC // and then the letter does not agree
	}
	return zone
}
