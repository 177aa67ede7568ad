package disclosure

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"griffier/api/disclosure/letter"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/schema"
)

// Formats of the three things that a verifier reads.
const (
	ManifestFormat  = "griffier-package/1"
	SignatureFormat = "griffier-signature/1"
	ReceiptFormat   = "griffier-receipt/1"
)

// Disclaimer stands in every manifest and certificate.
const Disclaimer = "The answer names the subscriber of the line, never the user of it. Who used the line at that instant is not known to the provider."

// Manifest describes a package: what was asked, what was searched, what the
// answer is, and the hash of every other file. It is what is signed.
type Manifest struct {
	Format                 string            `json:"format"`
	Software               string            `json:"software"`
	WarrantID              string            `json:"warrant_id"`
	WarrantReferenceSHA256 string            `json:"warrant_reference_sha256"`
	WarrantContentSHA256   string            `json:"warrant_content_sha256"`
	LegalBasis             string            `json:"legal_basis"`
	TaskID                 string            `json:"task_id"`
	Generation             uint64            `json:"generation"`
	Attempt                uint32            `json:"attempt"`
	Category               string            `json:"category"`
	Columns                []string          `json:"columns"`
	Question               ManifestQuestion  `json:"question"`
	Searched               []string          `json:"searched"`
	QueriedAt              time.Time         `json:"queried_at"`
	Retention              ManifestRetention `json:"retention"`
	Coverage               []ManifestCover   `json:"coverage"`
	Answer                 ManifestAnswer    `json:"answer"`
	// FromHold is the hold that was asked, and not the store; empty: the store was.
	FromHold string `json:"from_hold,omitempty"`
	// Preserved is set if the answer is PRESERVED.
	Preserved   *ManifestPreserved `json:"preserved,omitempty"`
	IntentIndex uint64             `json:"intent_index"` // in the ledger
	Files       []ManifestFile     `json:"files"`
	SignerKeyID string             `json:"signer_key_id"`
	Disclaimer  string             `json:"disclaimer"`
	// Language is that of the letter, SealedTo the fingerprint of the key that the
	// package was sealed to.
	Language string `json:"language"`
	SealedTo string `json:"sealed_to,omitempty"`
	// CorrectsSHA256 is the package that this one takes the place of.
	CorrectsSHA256 string `json:"corrects_sha256,omitempty"`
	// Timestamped says that a time-stamping authority's token over this file lies
	// beside it, so that one that was taken out is missed.
	Timestamped bool `json:"timestamped"`
}

// ManifestQuestion is the question as it was entered and as it was understood.
type ManifestQuestion struct {
	Address                  string    `json:"address"`        // or whatever else the target is, in canonical form
	Port                     uint16    `json:"port,omitempty"` // 0: not stated
	Protocol                 uint8     `json:"protocol,omitempty"`
	InstantEntered           string    `json:"instant_entered"`
	WindowEndEntered         string    `json:"window_end_entered,omitempty"` // of a window
	InstantUTC               time.Time `json:"instant_utc"`
	InstantLocal             string    `json:"instant_local"`
	LocalZone                string    `json:"local_zone"`
	StatedUncertaintySeconds float64   `json:"stated_uncertainty_seconds"`
	ClockMarginSeconds       float64   `json:"clock_margin_seconds"`
	IntervalFromUTC          time.Time `json:"interval_from_utc"` // inclusive
	IntervalToUTC            time.Time `json:"interval_to_utc"`   // inclusive
}

// ofLine reports whether the target names a line, and is no address or prefix.
func (q ManifestQuestion) ofLine() bool {
	target, refusal := warrant.ParseTarget(q.Address)
	return refusal == nil && !target.Network()
}

// ManifestPreserved says that a hold was made, and until when it is kept: at that
// instant it is destroyed.
type ManifestPreserved struct {
	HoldID   string    `json:"hold_id"`
	UntilUTC time.Time `json:"until_utc"`
}

// ManifestRetention is the retention in force when the question was asked.
type ManifestRetention struct {
	Class           string    `json:"class"`
	Period          string    `json:"period"` // ISO 8601; empty: the class may not be read
	Zone            string    `json:"zone"`
	ReadableFromUTC time.Time `json:"readable_from_utc"`
}

// ManifestCover is a collector's coverage during the interval.
type ManifestCover struct {
	CollectorID  string    `json:"collector_id"`
	State        string    `json:"state"`
	Cause        string    `json:"cause,omitempty"`
	FromUTC      time.Time `json:"from_utc"`
	ToUTC        time.Time `json:"to_utc"`
	ClockSynced  bool      `json:"clock_synced"`
	ClockOffsetS float64   `json:"clock_offset_seconds"`
}

// ManifestAnswer is the typed answer.
type ManifestAnswer struct {
	Reason         reason.Reason `json:"reason"`
	Meaning        string        `json:"meaning"`
	Provider       string        `json:"provider,omitempty"`
	CandidateBand  string        `json:"candidate_band,omitempty"`
	CoveringListed []string      `json:"covering_collectors"`
	// Neighbours is the band of how many other lines had the address shortly before or
	// after the interval.
	Neighbours string `json:"neighbouring_assignments_band,omitempty"`
	// Incomplete are the reasons for which records may be missing; none: the answer is
	// complete.
	Incomplete []reason.Reason `json:"incomplete,omitempty"`
}

// ManifestFile is another file of the package.
type ManifestFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Searched says, in fixed words, what an attribution looks at.
var Searched = []string{
	"ranges of the provider and of others that use them, at the interval",
	"coverage by the collectors listed for the range, over the whole interval",
	"assignments of the address and of every prefix around it, that touch the interval",
	"lines of the pseudonyms found, at the interval",
	"where a translator shared the address: the same four of each inside address that had the port",
}

// SearchedHold and SearchedPreservation say the same of an attribution from a hold,
// and of a preservation.
var (
	SearchedHold         = []string{"the hold that is named, as it was sealed: ranges, coverage, lines and the rows of the category that is asked, in the interval"}
	SearchedPreservation = []string{
		"ranges of the provider and of others that use them, in the interval",
		"assignments of the address and of every prefix around it, that touch the interval",
		"where a translator shared the address: of each inside address that had the port too",
	}
)

// SearchedRegister and SearchedWindow say the same of questions about a line.
var (
	SearchedRegister = []string{"the register of lines: which had the target, and whose they were, at the interval"}
	SearchedWindow   = []string{
		"the register of lines: which had the target, and by what pseudonyms, in the interval",
		"what is kept of those pseudonyms of the category that is asked, in the interval",
		"coverage by all collectors of the provider, over the whole interval",
	}
)

func searched(c Case) []string {
	switch {
	case c.Category == string(warrant.Identity):
		return SearchedRegister
	case slices.Contains([]warrant.Category{warrant.History, warrant.TimeCategory, warrant.Volume}, warrant.Category(c.Category)) && c.FromHold == "":
		return SearchedWindow
	case c.Category == string(warrant.Preservation):
		return SearchedPreservation
	case c.FromHold != "":
		return SearchedHold
	}
	return Searched
}

// Case is what a package is about, besides question and answer.
type Case struct {
	Software             string
	WarrantID            string
	Reference            string // hashed in the manifest
	WarrantContentSHA256 string
	LegalBasis           string
	TaskID               string
	Generation           uint64
	Attempt              uint32
	Category             string
	InstantEntered       string
	Zone                 *time.Location
	IntentIndex          uint64
	QueriedAt            time.Time
	Retention            ManifestRetention
	FromHold             string             // empty: the store was asked
	Preserved            *ManifestPreserved // of the answer PRESERVED only
	WindowEnd            string             // of a window, as entered
	To                   Addressee
	Language             letter.Language // empty: English
	SealedTo             string
	CorrectsSHA256       string
	// Stamp has a time-stamping authority confirm a digest. Nil: there is none.
	Stamp func(digest [32]byte) (token []byte, err error)
}

// newManifest returns the manifest without its files and signer.
func newManifest(c Case, p Plan, e Evidence, a Answer, columns []Column) Manifest {
	m := Manifest{
		Format: ManifestFormat, Software: c.Software, WarrantID: c.WarrantID, WarrantReferenceSHA256: hexSHA256([]byte(c.Reference)),
		WarrantContentSHA256: c.WarrantContentSHA256, LegalBasis: c.LegalBasis, TaskID: c.TaskID, Generation: c.Generation,
		Attempt: c.Attempt, Category: c.Category, Columns: []string{}, Searched: searched(c), FromHold: c.FromHold, Preserved: c.Preserved, QueriedAt: c.QueriedAt.UTC(),
		Retention: c.Retention, Coverage: []ManifestCover{}, IntentIndex: c.IntentIndex, Disclaimer: Disclaimer,
		Language: string(cmp.Or(c.Language, letter.English)), SealedTo: c.SealedTo, CorrectsSHA256: c.CorrectsSHA256, Timestamped: c.Stamp != nil,
		Question: ManifestQuestion{
			Address: p.asked(), Port: p.Port, Protocol: p.Protocol, InstantEntered: c.InstantEntered, InstantUTC: p.Instant,
			InstantLocal: p.Instant.In(c.Zone).Format(time.RFC3339Nano), LocalZone: c.Zone.String(),
			StatedUncertaintySeconds: p.Uncertainty.Seconds(), ClockMarginSeconds: p.ClockMargin.Seconds(),
			IntervalFromUTC: p.From, IntervalToUTC: p.To, WindowEndEntered: c.WindowEnd,
		},
		Answer: ManifestAnswer{Reason: a.Reason, Meaning: a.Reason.Entry().Meaning, Provider: a.Provider,
			CandidateBand: a.Candidates, CoveringListed: append([]string{}, a.Covering...), Neighbours: a.Neighbours, Incomplete: a.Incomplete},
	}
	for _, col := range columns {
		m.Columns = append(m.Columns, col.Name)
	}
	if a.Reason == reason.Preserved {
		return m // which collectors saw something is data, and not told
	}
	covers := e.Coverage
	for _, inside := range slices.SortedFunc(maps.Keys(e.Inside), netip.Addr.Compare) {
		covers = slices.Concat(covers, e.Inside[inside].Coverage)
	}
	for _, cover := range covers {
		if c := clipped(cover, p); p.touches(cover.StartedAt, cover.EndedAt) && !slices.Contains(m.Coverage, c) {
			m.Coverage = append(m.Coverage, c)
		}
	}
	return m
}

// clipped shows no more of a coverage row than the interval.
func clipped(c schema.Coverage, p Plan) ManifestCover {
	from, to := c.StartedAt.UTC(), c.EndedAt.UTC()
	if from.Before(p.From) {
		from = p.From
	}
	if to.After(p.To) {
		to = p.To
	}
	return ManifestCover{CollectorID: c.CollectorID, State: string(c.State), Cause: c.Cause, FromUTC: from, ToUTC: to,
		ClockSynced: c.ClockSynced, ClockOffsetS: time.Duration(c.ClockOffsetNanos).Seconds()}
}
