package register

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/cgnat"
)

// Kinds of ledger entry for changes of the register.
const (
	KindLinePut  = "register.line_put"
	KindRangePut = "register.range_put"
)

// book is the part of the ledger that changes need ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// Service implements RegisterService: the ISP's administration writes, nobody
// looks anything up.
type Service struct {
	griffierv1.UnimplementedRegisterServiceServer
	register *Register
	book     book
	lines    sync.Mutex // held while a line is looked at and put
}

// NewService returns the service.
func NewService(r *Register, b book) *Service { return &Service{register: r, book: b} }

// Limits of a line.
const (
	maxIdentifiers = 100
	maxText        = 256
)

var idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// PutLine implements RegisterService.
func (s *Service) PutLine(ctx context.Context, req *griffierv1.PutLineRequest) (*griffierv1.PutLineResponse, error) {
	line, identifiers, person, err := parseLine(req)
	if err != nil {
		return nil, err
	}
	s.lines.Lock()
	defer s.lines.Unlock()
	what := map[string]string{"line_id": line.LineID, "account_id": line.AccountID}
	switch changes, err := s.register.Changes(ctx, line, person); {
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case changes && !req.GetCorrects():
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "corrects", Description: "is needed to change account, name or place " +
			"of a line, for disclosures of the time before would tell them too: say it if they were wrong from the beginning; " +
			"who moved or took a contract over has another line id"})
	case changes:
		what["corrects"] = "true"
	}
	if err := s.record(ctx, KindLinePut, what); err != nil {
		return nil, err
	}
	switch err := s.register.PutLine(ctx, line, identifiers, person); {
	case errors.Is(err, ErrErased):
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "line_id", Description: "was erased; a new contract takes a new line id"})
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return &griffierv1.PutLineResponse{}, nil
}

// PutRange implements RegisterService.
func (s *Service) PutRange(ctx context.Context, req *griffierv1.PutRangeRequest) (*griffierv1.PutRangeResponse, error) {
	rg, err := parseRange(req)
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, KindRangePut, map[string]string{"prefix": rg.Prefix.String(), "provider": rg.Provider}); err != nil {
		return nil, err
	}
	if err := s.register.PutRange(ctx, rg); err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return &griffierv1.PutRangeResponse{}, nil
}

func (s *Service) record(ctx context.Context, kind string, what map[string]string) error {
	caller, _ := auth.FromContext(ctx)
	key := "class:register:" + s.register.now().UTC().Format("2006-01")
	if err := s.register.vault.Ensure(key); err != nil {
		return reason.Wrap(reason.LedgerUnavailable, err)
	}
	what["subject"] = caller.Subject
	_, err := s.book.Append(ctx, ledger.Draft{
		Kind: kind, Actor: caller.Actor, Role: auth.RoleName(griffierv1.Role_ROLE_PROVISIONER), KeyID: key, Body: what,
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ledger.ErrUnknownOutcome):
		return reason.Wrap(reason.UnknownOutcome, err)
	case errors.Is(err, ledger.ErrClock):
		return reason.Wrap(reason.ClockUntrusted, err)
	}
	return reason.Wrap(reason.LedgerUnavailable, err)
}

func parseLine(req *griffierv1.PutLineRequest) (Line, []Identifier, Person, error) {
	var bad violations
	line := Line{LineID: req.GetLineId(), AccountID: req.GetAccountId(), TimeZone: req.GetTimeZone(), BillingDay: int(req.GetBillingDay())}
	bad.check(idForm.MatchString(line.LineID), "line_id", "is required: 1 to 64 of A-Z a-z 0-9 . _ -")
	bad.check(idForm.MatchString(line.AccountID), "account_id", "is required: 1 to 64 of A-Z a-z 0-9 . _ -")
	_, err := time.LoadLocation(line.TimeZone)
	bad.check(err == nil && line.TimeZone != "" && line.TimeZone != "Local", "time_zone", "is required: an IANA name such as Europe/Amsterdam")
	bad.check(line.BillingDay >= 1 && line.BillingDay <= 31, "billing_day", "must be between 1 and 31")
	line.ContractStart = bad.start("contract_start", req.GetContractStart())
	line.ContractEnd = bad.end("contract_end", req.GetContractEnd(), line.ContractStart)
	bad.check(len(req.GetIdentifiers()) <= maxIdentifiers, "identifiers", "are more than 100")
	var identifiers []Identifier
	for _, in := range req.GetIdentifiers()[:min(len(req.GetIdentifiers()), maxIdentifiers)] {
		id, err := schema.ParseIdentifier(in.GetIdentifier())
		bad.check(err == nil && len(id.Value) <= maxText, "identifiers.identifier", "want KIND:VALUE of a known kind")
		from := bad.start("identifiers.valid_from", in.GetValidFrom())
		identifiers = append(identifiers, Identifier{id, from, bad.end("identifiers.valid_to", in.GetValidTo(), from)})
	}
	bad.check(!overlap(identifiers), "identifiers", "name one twice for the same time")
	person := Person{
		Name:                req.GetPerson().GetName(),
		InstallationAddress: parseAddress(req.GetPerson().GetInstallationAddress()),
		BillingAddress:      parseAddress(req.GetPerson().GetBillingAddress()),
	}
	bad.check(Normalise(person.Name) != "" && len(person.Name) <= maxText, "person.name", "is required, with a letter or digit, at most 256 bytes")
	place := person.InstallationAddress
	bad.check(Normalise(place.Postcode) != "" && NormaliseNumber(place.HouseNumber) != "", "person.installation_address", "is required, with postcode and house number")
	for _, p := range []PostalAddress{place, person.BillingAddress} {
		bad.check(max(len(p.Street), len(p.HouseNumber), len(p.Postcode), len(p.Town), len(p.Country)) <= maxText, "person", "has a field of more than 256 bytes")
	}
	return line, identifiers, person, bad.err()
}

// overlap tells whether an identifier is listed twice for the same time.
func overlap(identifiers []Identifier) bool {
	for i, a := range identifiers {
		for _, b := range identifiers[:i] {
			if a.Kind != "" && a.Identifier == b.Identifier && a.ValidFrom.Before(b.ValidTo) && b.ValidFrom.Before(a.ValidTo) {
				return true
			}
		}
	}
	return false
}

func parseAddress(in *griffierv1.PostalAddress) PostalAddress {
	return PostalAddress{in.GetStreet(), in.GetHouseNumber(), in.GetPostcode(), in.GetTown(), in.GetCountry()}
}

func parseRange(req *griffierv1.PutRangeRequest) (Range, error) {
	var bad violations
	prefix, err := netip.ParsePrefix(req.GetPrefix())
	bad.check(err == nil && prefix == prefix.Masked() && !prefix.Addr().Is4In6(), "prefix", "want CIDR with no bits set past its length")
	bad.check(len(req.GetProvider()) <= maxText && !strings.ContainsAny(req.GetProvider(), "\r\n"), "provider", "is one line of at most 256 bytes")
	bad.check(len(req.GetCollectorIds()) <= 64, "collector_ids", "are more than 64")
	rg := Range{Prefix: prefix, Provider: req.GetProvider(), CollectorIDs: req.GetCollectorIds()}
	rg.ValidFrom = bad.start("valid_from", req.GetValidFrom())
	rg.ValidTo = bad.end("valid_to", req.GetValidTo(), rg.ValidFrom)
	if in := req.GetTranslation(); in != nil {
		rg.Translation = parseTranslation(in, prefix)
		err := rg.Translation.Validate()
		bad.check(!errors.Is(err, cgnat.ErrExhausted), "translation.ports_per_subscriber", "are so many that some inside addresses would have none")
		bad.check(err == nil || errors.Is(err, cgnat.ErrExhausted), "translation",
			"wants a layout, an IPv4 inside prefix that is not the range, a first port and ports per subscriber from 1 to 65535")
		bad.check(rg.Provider == "", "translation", "is ours; the range is another provider's")
	}
	return rg, bad.err()
}

// parseTranslation leaves what is out of range 0, which is not valid.
func parseTranslation(in *griffierv1.DeterministicTranslation, outside netip.Prefix) cgnat.Parameters {
	port := func(n uint32) uint16 {
		if n > 65535 {
			return 0
		}
		return uint16(n)
	}
	inside, err := netip.ParsePrefix(in.GetInsidePrefix())
	if err != nil {
		inside = netip.Prefix{}
	}
	algorithm := cgnat.None
	switch in.GetLayout() {
	case griffierv1.DeterministicTranslation_LAYOUT_SEQUENTIAL:
		algorithm = cgnat.Sequential
	case griffierv1.DeterministicTranslation_LAYOUT_STRIPED:
		algorithm = cgnat.Striped
	}
	return cgnat.Parameters{Algorithm: algorithm, Outside: outside, Inside: inside, FirstPort: port(in.GetFirstPort()), PortsPerSubscriber: port(in.GetPortsPerSubscriber())}
}

// violations collects everything that is wrong with a request, so that it is
// all said at once.
type violations []reason.Violation

func (v *violations) check(ok bool, field, description string) {
	if !ok {
		*v = append(*v, reason.Violation{Field: field, Description: description})
	}
}

// earliest is the earliest start that the tables can hold.
var earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

func (v *violations) start(field string, ts *timestamppb.Timestamp) time.Time {
	if ts == nil || ts.CheckValid() != nil {
		v.check(false, field, "is required, as an instant")
		return earliest
	}
	v.check(!ts.AsTime().Before(earliest) && ts.AsTime().Before(schema.Forever), field, "lies outside the years 1900 to 2199")
	return ts.AsTime()
}

// end is schema.Forever when absent.
func (v *violations) end(field string, ts *timestamppb.Timestamp, start time.Time) time.Time {
	if ts == nil {
		return schema.Forever
	}
	v.check(ts.CheckValid() == nil && ts.AsTime().After(start), field, "must be after the start")
	v.check(!ts.AsTime().After(schema.Forever), field, "lies after the year 2199")
	return ts.AsTime()
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return reason.Invalid(reason.InvalidRequest, v...)
}
