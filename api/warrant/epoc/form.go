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

// Role is in what an addressee receives an order (art. 7).
type Role string

// Roles. Another addressee gets an order only in an emergency, when the first two did
// not react.
const (
	Establishment  Role = "DESIGNATED_ESTABLISHMENT"
	Representative Role = "LEGAL_REPRESENTATIVE"
	OtherAddressee Role = "OTHER"
)

// Form is an EPOC or an EPOC-PR. Times are RFC 3339 with an offset. In which section
// of the certificate a field stands, [Sections] tells.
type Form struct {
	Kind                 Kind       `json:"kind"`
	CaseNumber           string     `json:"case_number"` // of the issuing authority
	ValidatingCaseNumber string     `json:"validating_case_number"`
	IssuedAt             string     `json:"issued_at"`
	IssuingAuthority     Authority  `json:"issuing_authority"`
	ValidatingAuthority  *Authority `json:"validating_authority"`
	Addressee            Addressee  `json:"addressee"`
	EnforcingAuthority   *Enforcing `json:"enforcing_authority"`
	Emergency            bool       `json:"emergency"`
	EmergencyReason      string     `json:"emergency_reason"`
	Deadline             Deadline   `json:"deadline"` // of an EPOC
	OtherDeadline        string     `json:"other_deadline"`
	Previous             []string   `json:"previous"` // earlier orders that this one goes with
	// Data says what is ordered; Traffic which of the traffic data.
	Data        []Data       `json:"data"`
	Traffic     []string     `json:"traffic"`
	Identifiers []Identifier `json:"identifier"`
	Ranges      []Range      `json:"range"`
	Offence     string       `json:"offence"` // its nature and legal classification
	// DelayInformingUser says that the issuing authority tells the person later. The
	// addressee tells nobody, either way (art. 13).
	DelayInformingUser bool `json:"delay_informing_user"`
	// TransferTo is the authority that the data goes to, if not the issuing one.
	TransferTo *Receiver `json:"transfer_to"`
	// AnnexV says that a production order was issued for what an earlier EPOC-PR
	// preserved, AnnexVI that the preservation is extended by 30 days; both name that
	// EPOC-PR in Preserves. They are forms of their own, and in no section.
	AnnexV    bool   `json:"annex_v"`
	AnnexVI   bool   `json:"annex_vi"`
	Preserves string `json:"preserves"`
}

// Authority is one that issues or validates, with the details at the end of the form.
type Authority struct {
	ID        string `json:"id"` // as the registry has it
	Country   string `json:"country"`
	Name      string `json:"name"`
	Office    Office `json:"office"`
	Person    string `json:"person"`
	Post      string `json:"post"`
	Address   string `json:"address"`
	Telephone string `json:"telephone"` // the call-back goes to the registry's number, never to this
	Email     string `json:"email"`
}

// Addressee is whom the order is for.
type Addressee struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// Receiver is an authority that data is transferred to.
type Receiver struct {
	ID   string `json:"id"` // as the registry has it
	Name string `json:"name"`
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
