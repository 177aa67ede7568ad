package warrant

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"griffier/api/reason"
)

// Limits of one task.
const (
	// MaxUncertainty is the widest uncertainty that a task may state. A wider one
	// would make every answer ambiguous, or a fishing net.
	MaxUncertainty = time.Hour
	// MaxTaskSubjects is how many lines one task may be allowed to find.
	MaxTaskSubjects = 10
	// MaxTaskRecords is how many records one task may be allowed to disclose.
	MaxTaskRecords = 100_000
	// VolumeStep is what volumes are counted by: a window of them begins and ends at
	// a multiple of it, since no part of a count can be told.
	VolumeStep = 5 * time.Minute
)

// TaskRequest asks one question under a warrant. ID is random, made by the shell.
type TaskRequest struct {
	ID, WarrantID      string
	Generation         uint64
	Category           Category
	Target             string
	Instant            string
	UncertaintySeconds uint32
	Port               uint32 // source port, 0 if not stated
	Protocol           uint32 // IANA number, 0 if not stated
	WindowEnd          string // these five as in [TaskBody]
	HoldDays           uint32
	FromHold           string
	MaxSubjects        uint32
	MaxRecords         uint32
}

// holdIDForm is that of ids that the shell makes.
var holdIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Question is a task's body, parsed.
type Question struct {
	Target      Target
	Instant     time.Time
	End         time.Time // of the window that Instant begins, exclusive; zero: the instant alone
	Uncertainty time.Duration
	MaxSubjects int
	MaxRecords  int
}

// Last returns the last moment that the question is about, without its uncertainty.
func (q Question) Last() time.Time {
	if q.End.IsZero() {
		return q.Instant
	}
	return q.End.Add(-time.Nanosecond)
}

// Body returns the body of the task that is asked for, in canonical form: the
// target as [Target.String] writes it without its port, which is a field of its
// own, and limits as they will be applied. Instants stay as they were entered. What
// no warrant could make good is refused here.
func (q TaskRequest) Body() (TaskBody, *reason.Error) {
	target, err := ParseTarget(q.Target)
	if err != nil {
		return TaskBody{}, err
	}
	b := TaskBody{Instant: q.Instant, UncertaintySeconds: q.UncertaintySeconds, Port: q.Port, Protocol: q.Protocol,
		WindowEnd: q.WindowEnd, HoldDays: q.HoldDays, FromHold: q.FromHold, MaxSubjects: q.MaxSubjects, MaxRecords: q.MaxRecords}
	if target.Port != 0 {
		if b.Port != 0 && b.Port != uint32(target.Port) || b.Protocol != 0 && b.Protocol != uint32(target.Protocol) {
			return TaskBody{}, violation("port", "is not what the target says")
		}
		b.Port, b.Protocol = uint32(target.Port), uint32(target.Protocol)
		target.Port, target.Protocol = 0, 0
	}
	b.Target = target.String()
	if err := q.fits(target, b); err != nil {
		return TaskBody{}, err
	}
	b.MaxSubjects, b.MaxRecords = q.Category.limits(b.MaxSubjects, b.MaxRecords)
	return b, nil
}

// limits are how many lines and records a task of the category may disclose, of those
// that were entered, 0 for the default.
func (c Category) limits(subjects, records uint32) (uint32, uint32) {
	if c == Preservation {
		return subjects, records
	}
	if subjects == 0 {
		subjects = 1
	}
	if records == 0 {
		records = max(c.defaultRecords(), subjects)
	}
	return subjects, records
}

// fits refuses what a task of the category cannot have, or not with its target.
func (q TaskRequest) fits(target Target, b TaskBody) *reason.Error {
	from, err := ParseInstant(b.Instant)
	if err != nil {
		return err
	}
	windowed := slices.Contains([]Category{History, TimeCategory, Volume}, q.Category)
	switch preserves := q.Category == Preservation; {
	case b.UncertaintySeconds > uint32(MaxUncertainty/time.Second):
		return violation("uncertainty_seconds", fmt.Sprintf("is more than %d", int(MaxUncertainty/time.Second)))
	case b.Port > 65535:
		return violation("port", "is more than 65535")
	case b.Port != 0 && target.Kind != TargetAddress:
		return violation("port", "belongs to one address")
	case b.Protocol != 0 && b.Port == 0:
		return violation("protocol", "says nothing without a port")
	case b.Protocol != 0 && !slices.ContainsFunc(protocolNames, func(n protocolName) bool { return uint32(n.number) == b.Protocol }):
		return violation("protocol", "is not one that has ports")
	case !preserves && b.HoldDays != 0:
		return violation("hold_days", "belongs to PRESERVATION")
	case preserves && b.FromHold != "":
		return violation("from_hold", "is for reading a hold; a hold of a hold is not made, extend it")
	case preserves && (b.MaxSubjects != 0 || b.MaxRecords != 0):
		return violation("max_records", "and max_subjects are of what is disclosed: a preservation discloses nothing")
	case b.FromHold != "" && !holdIDForm.MatchString(b.FromHold):
		return violation("from_hold", "is not the id of a hold: 32 hexadecimal digits")
	case b.FromHold != "" && q.Category == Identity && target.Kind != TargetLine:
		return violation("target", "must be line:ID of a line that the hold has: whose an address was is ATTRIBUTION")
	case b.MaxSubjects > MaxTaskSubjects:
		return violation("max_subjects", fmt.Sprintf("is more than %d", MaxTaskSubjects))
	case b.MaxRecords > MaxTaskRecords:
		return violation("max_records", fmt.Sprintf("is more than %d", MaxTaskRecords))
	case q.Category == Attribution && b.MaxSubjects > 1:
		return violation("max_subjects", "is 1 of ATTRIBUTION: exactly one line, or none")
	case q.Category == Attribution && !target.Network():
		return violation("category", "is about whose an address or prefix was; this target names a line: ask IDENTITY")
	case q.Category == Identity && target.Network():
		return violation("category", "is about a line; whose an address was is ATTRIBUTION, which shows the identity where the warrant covers it")
	case windowed && b.FromHold != "" && target.Kind != TargetAddress && target.Kind != TargetLine:
		return violation("target", "must be the address that the hold is of, or line:ID of a line that had it")
	case preserves && target.Kind == TargetPrefix:
		return violation("target", "must be an address in the prefix, or the line: a hold is of one of these")
	case windowed && target.Network() && b.FromHold == "":
		return violation("target", "must be a line, or what names one, for this category: ask ATTRIBUTION first")
	case windowed && b.WindowEnd == "":
		return violation("window_end", "is missing: this category is about a window")
	case windowed && b.UncertaintySeconds != 0:
		return violation("uncertainty_seconds", "belongs to an instant: a window is asked as it is")
	case !windowed && !preserves && b.WindowEnd != "":
		return violation("window_end", "belongs to PRESERVATION, HISTORY, TIME and VOLUME: this question is about an instant")
	case b.WindowEnd == "":
		return nil
	}
	end, err := ParseInstant(b.WindowEnd)
	if err != nil {
		return err
	}
	if !end.After(from) {
		return violation("window_end", "must be later than instant")
	}
	if q.Category == Volume && (from.UnixNano()%int64(VolumeStep) != 0 || end.UnixNano()%int64(VolumeStep) != 0) {
		return violation("window_end", "and instant must be whole multiples of five minutes: volumes are counted by these, and nothing is clipped")
	}
	return nil
}

func violation(field, description string) *reason.Error {
	return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: field, Description: description})
}

// Question returns the parsed question of a task's body.
func (b TaskBody) Question() (Question, *reason.Error) {
	var q Question
	var err *reason.Error
	if q.Target, err = ParseTarget(b.Target); err != nil {
		return Question{}, err
	}
	q.Target.Port, q.Target.Protocol = uint16(b.Port), uint8(b.Protocol)
	if q.Instant, err = ParseInstant(b.Instant); err != nil {
		return Question{}, err
	}
	if b.WindowEnd != "" {
		if q.End, err = ParseInstant(b.WindowEnd); err != nil {
			return Question{}, err
		}
	}
	q.Uncertainty = time.Duration(b.UncertaintySeconds) * time.Second
	q.MaxSubjects, q.MaxRecords = max(1, int(b.MaxSubjects)), max(1, int(b.MaxRecords))
	return q, nil
}
