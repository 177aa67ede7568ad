package oversightrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/server"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// book is the part of the ledger that the service needs ([ledger.Log]).
type book interface {
	warrantrpc.Book
	Size() uint64
	LastAt() time.Time
}

// keys makes class keys ([keystore.Store]). Ensure of a key that exists is no error.
type keys interface {
	Ensure(id string) error
}

// staff keeps which lines are employees' ([register.Register]).
type staff interface {
	PutStaffLine(ctx context.Context, actor, lineID string, is bool) error
	Staff(ctx context.Context) (map[string]uint64, error)
	StaffTags(ctx context.Context, lineIDs []string) (map[string]string, error)
	StaffLines(ctx context.Context) ([]register.StaffLine, error)
	ChangeStaff(ctx context.Context, put, remove []register.StaffLine) error
}

// Health is the state of one part of what watches the ledger.
type Health struct {
	Part   string
	OK     bool
	Detail string
}

// Config holds what a [Service] needs.
type Config struct {
	Book     book
	Keys     keys
	State    *oversight.State // these three are folds of Book
	Warrants *warrant.State
	Holds    *hold.State
	Rules    *warrant.Rules
	Limits   oversight.Limits
	Staff    staff
	Zone     *time.Location // whose calendar years are counted
	// Pseudonym returns that of an account of the identity provider.
	Pseudonym func(account string) string
	// Kept preserves what is not executed. Nil: nothing is, and a basis that wants it
	// cannot be recorded as not executed.
	Kept *Keeper
	// Health tells of the witness and of the second sink. May be nil.
	Health func() []Health
	Now    func() time.Time
	// Leap refuses a clock that leapt ([clock.Leap]), before a year is published by it
	// that may not have ended. Nil: none is known to.
	Leap func(now time.Time) error
}

// Service implements OversightService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedOversightServiceServer
	cfg Config

	importing sync.Mutex // one list at a time

	mu    sync.Mutex
	links map[uint64]oversight.Link // by ledger index: bodies that were opened
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	cfg.Limits = cfg.Limits.Filled()
	return &Service{cfg: cfg, links: map[uint64]oversight.Link{}}
}

// act decides one act of the caller and returns its entry, of this call or of an
// earlier try of it.
func (s *Service) act(ctx context.Context, method, clientID, warrantID, taskID string, kinds []string,
	rule func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error)) (ledger.Entry, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return ledger.Entry{}, err
	}
	requestID, err := warrantrpc.RequestID(by, method, clientID)
	if err != nil {
		return ledger.Entry{}, err
	}
	e, err := warrantrpc.Decide(ctx, s.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return rule(now, by) })
	if err != nil {
		return ledger.Entry{}, err
	}
	known := false
	for _, kind := range kinds {
		known = known || e.Header.Kind == kind
	}
	if !known || e.Header.WarrantID != warrantID || e.Header.TaskID != taskID {
		return ledger.Entry{}, warrantrpc.ErrReused()
	}
	return e, nil
}

// classKey makes the key of this month's entries about no one case.
func (s *Service) classKey() (string, error) {
	key := server.ClassKey("oversight", s.cfg.Now())
	if err := s.cfg.Keys.Ensure(key); err != nil {
		return "", reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	return key, nil
}

// body reads the sealed body of an entry into to. False once its key is destroyed.
func (s *Service) body(ctx context.Context, index uint64, to any) (bool, error) {
	entries, err := s.cfg.Book.Read(ctx, index, 1)
	if err != nil {
		return false, warrantrpc.LedgerError(err)
	}
	if len(entries) != 1 || entries[0].Index != index {
		return false, reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("entry %d cannot be read", index))
	}
	text, err := s.cfg.Book.Body(entries[0])
	if errors.Is(err, keystore.ErrShredded) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return false, fmt.Errorf("body of entry %d: %w", index, err)
	}
	return true, nil
}

// caller is who calls, with their roles.
func caller(ctx context.Context) (auth.Caller, error) {
	c, ok := auth.FromContext(ctx)
	if !ok || c.Actor == "" {
		return auth.Caller{}, reason.New(reason.Unauthenticated, "")
	}
	return c, nil
}

// roleOf is the first of roles that the caller has.
func roleOf(c auth.Caller, roles ...griffierv1.Role) griffierv1.Role {
	for _, r := range roles {
		if c.Has(r) {
			return r
		}
	}
	return griffierv1.Role_ROLE_UNSPECIFIED
}

// year reads a calendar year, which must have begun.
func (s *Service) year(n int32) (start, end time.Time, err error) {
	start, end = oversight.Year(int(n), s.cfg.Zone)
	if n < 2000 || n > 2199 || start.After(s.cfg.Now()) {
		return start, end, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "year", Description: "is required: one that has begun"})
	}
	return start, end, nil
}

// stamp is absent for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// enum and word translate between the words of the ledger and those of messages,
// which are the same but for their prefix.
func enum[E ~int32](values map[string]int32, prefix, word string) E { return E(values[prefix+word]) }

func word(name, prefix string) string {
	if name == prefix+"UNSPECIFIED" || len(name) < len(prefix) {
		return ""
	}
	return name[len(prefix):]
}
