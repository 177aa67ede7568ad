package letter

import (
	"griffier/api/reason"
)

// Language is the language of a letter.
type Language string

// Languages.
const (
	Dutch   Language = "nl"
	English Language = "en"
)

// vocabulary is every word of a letter that does not come from the case.
type vocabulary struct {
	tag              string // RFC 5646
	weekdays         [7]string
	months           [12]string
	winter, summer   string
	until, inclusive string
	exclusive        string

	department, confidential, pageOf                                         string
	to, attention, yourReference, legalBasis, ourCase, ourTask, ledger, date string
	ledgerEntry                                                              string
	titlePositive, titleNegative, titlePreserved, titleCorrection            string
	correction, correctionText                                               string

	questionHead string
	questions    map[string]string // by category
	target, port, protocol, entered, enteredEnd, inUTC, inLocal,
	margin, marginText, interval string

	answerHead, code, otherProvider, sharing, hold, heldUntil string
	answers                                                   map[reason.Reason]answerWords
	oneLine                                                   answerWords // MATCH of an attribution
	// ofRegister and ofWindow stand in the place of answers where a line was asked about:
	// whose it was, or what there is of it in a window.
	ofRegister, ofWindow                                   map[reason.Reason]answerWords
	neighbourTitle, neighbour, incompleteTitle, incomplete string

	recordHead, installationRole, moreRecords string
	labels                                    map[string]string // by column

	searchedHead, askedHold, retention, retentionThen, retentionNone, retentionText string
	coverage, covered, uncovered, synced, unsynced                                  string
	searchedWords                                                                   map[string]string // by the manifest's words; nil: those
	states                                                                          map[string]string

	disclaimerTitle, disclaimer, authenticity, unshown string
}

// answerWords say an answer: in one line, and what it means for the reader.
type answerWords struct{ short, long string }

var vocabularies = map[Language]*vocabulary{Dutch: &dutch, English: &english}

// Known reports whether there are words in a language.
func Known(l Language) bool { return vocabularies[l] != nil }

func (w *vocabulary) title(l Letter) string {
	switch {
	case l.Corrects != "":
		return w.titleCorrection
	case l.Answer.Reason == reason.Preserved:
		return w.titlePreserved
	case l.Answer.Positive():
		return w.titlePositive
	}
	return w.titleNegative
}

// answer returns the words of a letter's answer. What is true of an address, that its
// range was seen, is never said of a line, of which the register was asked.
func (w *vocabulary) answer(l Letter) answerWords {
	words, of := w.answers[l.Answer.Reason], map[reason.Reason]answerWords(nil)
	switch l.Question.Category {
	case "ATTRIBUTION":
		if l.Answer.Positive() {
			return w.oneLine
		}
	case "IDENTITY":
		of = w.ofRegister
	case "HISTORY", "TIME", "VOLUME":
		of = w.ofWindow
	case "PRESERVATION":
		if l.Question.OfLine {
			of = w.ofWindow
		}
	}
	if special, ok := of[l.Answer.Reason]; ok {
		return special
	}
	return words
}

func (w *vocabulary) questionSentence(q Question) string {
	if s, ok := w.questions[q.Category]; ok {
		return s
	}
	return w.questions[""]
}

func (w *vocabulary) label(column string) string { return w.labels[column] }

func (w *vocabulary) searched(s string) string {
	if t, ok := w.searchedWords[s]; ok {
		return t
	}
	return s
}

func (w *vocabulary) state(s string) string {
	if t, ok := w.states[s]; ok {
		return t
	}
	return s
}

func (w *vocabulary) clock(synced bool) string {
	if synced {
		return w.synced
	}
	return w.unsynced
}

func (w *vocabulary) coverageText(rows int) string {
	if rows > 0 {
		return w.covered
	}
	return w.uncovered
}

// missing returns what a letter says for which the language has no words of its own;
// empty: nothing.
func (w *vocabulary) missing(l Letter) string {
	for _, s := range l.Searched {
		if w.searchedWords != nil && w.searchedWords[s] == "" {
			return s
		}
	}
	for _, record := range l.Records {
		for _, f := range record {
			if w.labels[f.Name] == "" {
				return f.Name
			}
		}
	}
	return ""
}
