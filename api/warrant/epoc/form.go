package epoc

// Kind is which of the two certificates a form is.
type Kind string

// Kinds of form.
const (
	Production   Kind = "EPOC"
	Preservation Kind = "EPOC-PR"
)

// Deadline is by when a production order wants its answer (art. 10).
type Deadline string

// Deadlines, as TS 104 144 names them.
const (
	TenDaysASAP        Deadline = "TenDaysASAP"
	TenDaysSubjectToEA Deadline = "TenDaysSubjectToEA" // nothing leaves before the enforcing authority's time is over
	EightHours         Deadline = "EightHours"         // an emergency
)

// Office is what an issuing or validating authority is (art. 4).
type Office string

// Offices.
const (
	Judge              Office = "JUDGE"
	Court              Office = "COURT"
	InvestigatingJudge Office = "INVESTIGATING_JUDGE"
	PublicProsecutor   Office = "PUBLIC_PROSECUTOR"
	OtherOffice        Office = "OTHER" // its order needs validating
)

// Data is a category of data of the Regulation (art. 3).
type Data string

// Categories. Content is data that an access provider does not have.
const (
	SubscriberData   Data = "SUBSCRIBER"
	IdentifyingData  Data = "USER_IDENTIFICATION" // for the sole purpose of identifying the user
	TrafficData      Data = "TRAFFIC"
	ContentData      Data = "CONTENT"
	AddressHistory        = "ADDRESS_HISTORY" // these three are parts of TRAFFIC
	ConnectionTimes       = "CONNECTION_TIMES"
	ConnectionVolume      = "VOLUME"
)

// Form is an EPOC or an EPOC-PR. Times are RFC 3339 with an offset.
type Form struct {
	Kind                Kind       `json:"kind"`
	CaseNumber          string     `json:"case_number"`
	IssuedAt            string     `json:"issued_at"`
	IssuingAuthority    Authority  `json:"issuing_authority"`
	ValidatingAuthority *Authority `json:"validating_authority"`
	EnforcingAuthority  *Enforcing `json:"enforcing_authority"`
	Emergency           bool       `json:"emergency"`
	EmergencyReason     string     `json:"emergency_reason"`
	Deadline            Deadline   `json:"deadline"` // of an EPOC
	// Data says what is ordered; Traffic which of the traffic data.
	Data        []Data       `json:"data"`
	Traffic     []string     `json:"traffic"`
	Identifiers []Identifier `json:"identifier"`
	Ranges      []Range      `json:"range"`
	// AnnexV says that a production order was issued for what an earlier EPOC-PR
	// preserved, AnnexVI that the preservation is extended by 30 days; both name that
	// EPOC-PR in Preserves.
	AnnexV    bool   `json:"annex_v"`
	AnnexVI   bool   `json:"annex_vi"`
	Preserves string `json:"preserves"`
}

// Authority is one that issues or validates.
type Authority struct {
	ID      string `json:"id"` // as the registry has it
	Country string `json:"country"`
	Name    string `json:"name"`
	Office  Office `json:"office"`
	Person  string `json:"person"`
}

// Enforcing is the authority of the provider's own state, and whether it was
// notified (art. 8).
type Enforcing struct {
	Country  string `json:"country"`
	Name     string `json:"name"`
	Notified bool   `json:"notified"`
}

// Identifier is one thing that the order is about.
type Identifier struct {
	Kind     string `json:"kind"` // see [Form.Content]
	Value    string `json:"value"`
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
}

// Range is a stretch of time, its end exclusive.
type Range struct {
	From string `json:"from"`
	To   string `json:"to"`
}
