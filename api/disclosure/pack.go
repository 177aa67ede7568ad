package disclosure

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"griffier/api/disclosure/etsi"
	"griffier/api/disclosure/letter"
	"griffier/api/reason"
	"griffier/schema"
)

// Names of the files in a package, in the order in which the tar has them.
const (
	fileManifest    = "manifest.json"
	fileSignature   = "manifest.sig"
	fileCSV         = "records.csv"
	fileJSONLines   = "records.jsonl"
	fileResponse    = "response.xml"
	fileLetter      = "letter.pdf"
	fileCertificate = "certificate.txt" // negative answers only
	fileToken       = "manifest.tsr"    // RFC 3161 token over manifest.json, where there is an authority for it
)

// Padding is what a package's length is a whole multiple of before it is sealed, in
// bytes; zeros follow a tar's end (IEEE Std 1003.1, pax, ustar). An answer about one
// line takes less than one, whatever it is and whoever it names, so that its length
// tells nothing to who cannot open it.
const Padding = 128 << 10

// Signer signs manifests.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a signer for an Ed25519 seed of 32 bytes.
func NewSigner(seed []byte) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("package signing key: want %d bytes, have %d", ed25519.SeedSize, len(seed))
	}
	return &Signer{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public returns the public key.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// KeyID returns the name of a public key: the first 16 bytes of its SHA-256.
func KeyID(public ed25519.PublicKey) string { return hexSHA256(public)[:32] }

// signature is manifest.sig: a detached Ed25519 signature over the exact bytes
// of manifest.json.
type signature struct {
	Format    string `json:"format"`
	Algorithm string `json:"algorithm"`
	KeyID     string `json:"key_id"`
	Signature []byte `json:"signature"`
}

// Tar returns the package before it is sealed. Its bytes depend on the
// arguments alone: order, times and modes of the files are fixed. There are records
// if and only if the answer is MATCH; of them the package has the columns, and
// nothing else.
func Tar(s *Signer, c Case, p Plan, e Evidence, a Answer, records []Record, columns []Column) ([]byte, error) {
	if (a.Reason == reason.Match) != (len(records) > 0) {
		return nil, fmt.Errorf("pack: %d records of an answer %s", len(records), a.Reason)
	}
	for i := range records {
		records[i].TaskID = c.TaskID
	}
	m, rows := newManifest(c, p, e, a, columns), rowsOf(records, columns)
	csvText, err := csvOf(m.Columns, rows)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	lines, err := jsonLinesOf(m.Columns, rows)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	readable, err := documents(m, c.To, rows)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	files := append([]file{{fileCSV, csvText}, {fileJSONLines, lines}}, readable...)
	if a.Reason != reason.Match {
		files = append(files, file{fileCertificate, certificate(m)})
	}
	for _, f := range files {
		m.Files = append(m.Files, ManifestFile{Name: f.name, SHA256: hexSHA256(f.data), Bytes: int64(len(f.data))})
	}
	m.SignerKeyID = KeyID(s.Public())
	text, err := marshalIndented(m)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	sig, err := marshalIndented(signature{SignatureFormat, "ed25519", m.SignerKeyID, ed25519.Sign(s.key, text)})
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	head := []file{{fileManifest, text}, {fileSignature, sig}}
	if c.Stamp != nil {
		token, err := c.Stamp(sha256.Sum256(text))
		if err != nil {
			return nil, fmt.Errorf("pack: %w", err)
		}
		head = append(head, file{fileToken, token})
	}
	return writeTar(append(head, files...))
}

// documents returns response.xml and letter.pdf, each read back: what cannot be read
// as it was meant never leaves.
func documents(m Manifest, to Addressee, rows [][]string) ([]file, error) {
	response, err := responseOf(m, to, rows)
	if err != nil {
		return nil, err
	}
	xmlText, err := etsi.Encode(response)
	if err != nil {
		return nil, err
	}
	l, err := letterOf(m, to, rows)
	if err != nil {
		return nil, err
	}
	pdf, err := letter.Render(l)
	if err != nil {
		return nil, err
	}
	return []file{{fileResponse, xmlText}, {fileLetter, pdf}}, documentsAgree(xmlText, pdf, m, rows)
}

func rowsOf(records []Record, columns []Column) [][]string {
	rows := make([][]string, len(records))
	for i, r := range records {
		for _, c := range columns {
			rows[i] = append(rows[i], c.value(r))
		}
	}
	return rows
}

// Attributed returns the record of an attribution that found its one line; no record
// of any other answer.
func Attributed(p Plan, a Answer, subscriber Person) []Record {
	if a.Reason != reason.Match {
		return nil
	}
	return []Record{{Address: p.asked(), Port: number(p.Port), Protocol: number(p.Protocol), InstantUTC: p.Instant.Format(time.RFC3339Nano),
		LineID: a.LineID, HeldPrefix: a.Prefix.String(), Source: sourcesText(a.Sources), Certainty: string(a.Certainty), Subscriber: subscriber}}
}

func sourcesText(sources []schema.Source) string {
	texts := make([]string, len(sources))
	for i, source := range sources {
		texts[i] = string(source)
	}
	return strings.Join(texts, " ")
}

// number is empty for 0, which is not stated.
func number[T uint8 | uint16](n T) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

type file struct {
	name string
	data []byte
}

func writeTar(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o600, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	b.Write(make([]byte, (Padding-b.Len()%Padding)%Padding))
	return b.Bytes(), nil
}

// csvOf is records.csv: nothing at all of no columns, since a reader would take an
// empty line for a row.
func csvOf(columns []string, rows [][]string) ([]byte, error) {
	if len(columns) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true // RFC 4180 §2
	if err := w.Write(columns); err != nil {
		return nil, err
	}
	for _, row := range rows {
		for i, value := range row {
			if strings.Contains(value, "\r") || !utf8.ValidString(value) { // which a reader of CSV, or of JSON, would lose
				return nil, fmt.Errorf("column %s has a carriage return, or is no text", columns[i])
			}
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// jsonLinesOf is records.jsonl.
func jsonLinesOf(columns []string, rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, row := range rows {
		object := make(map[string]string, len(columns)) // written with sorted keys
		for i, name := range columns {
			object[name] = row[i]
		}
		if err := enc.Encode(object); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// certificate says a negative answer in words (disclosure.md D-50).
func certificate(m Manifest) []byte { return certificateWith(m, m.Answer.Reason.Entry().Cure) }

func certificateWith(m Manifest, cure string) []byte {
	var b bytes.Buffer
	line := func(label, value string) { fmt.Fprintf(&b, "%-22s%s\n", label, value) }
	title := "Certificate: no line is disclosed"
	if m.Answer.Reason == reason.Preserved {
		title = "Certificate: preserved, nothing is disclosed"
	}
	b.WriteString(title + "\n\n")
	line("Task", m.TaskID)
	line("Warrant", m.WarrantID)
	if m.Question.ofLine() {
		line("Target", m.Question.Address)
	} else {
		line("Address", m.Question.Address)
	}
	if m.Question.Port != 0 {
		line("Port", number(m.Question.Port))
	}
	if m.Question.Protocol != 0 {
		line("Protocol (IANA)", number(m.Question.Protocol))
	}
	line("Instant (UTC)", m.Question.InstantUTC.Format(time.RFC3339Nano))
	line("Instant ("+m.Question.LocalZone+")", m.Question.InstantLocal)
	line("Interval searched", m.Question.IntervalFromUTC.Format(time.RFC3339Nano)+" to "+m.Question.IntervalToUTC.Format(time.RFC3339Nano)+", both inclusive")
	line("Answer", string(m.Answer.Reason))
	fmt.Fprintf(&b, "\n%s\n%s\n", m.Answer.Meaning, cure)
	if m.Answer.Provider != "" {
		line("Other provider", m.Answer.Provider)
	}
	if m.Answer.CandidateBand != "" {
		line("Lines sharing it", m.Answer.CandidateBand)
	}
	if m.Preserved != nil {
		line("Hold", m.Preserved.HoldID)
		line("Preserved until (UTC)", m.Preserved.UntilUTC.Format(time.RFC3339Nano)+", exclusive")
	}
	if m.FromHold != "" {
		line("Hold that was asked", m.FromHold)
	}
	b.WriteString("\nSearched:\n")
	for _, s := range m.Searched {
		b.WriteString("- " + s + "\n")
	}
	if m.Answer.Reason == reason.Preserved || m.Answer.Reason == reason.DataNotHeld || m.Retention == (ManifestRetention{}) { // nothing of the traffic is told, or none was asked
		b.WriteString("\n" + m.Disclaimer + "\n")
		return b.Bytes()
	}
	if m.FromHold != "" {
		b.WriteString("\nRetention when the hold was made: ")
	} else {
		b.WriteString("\nRetention in force: ")
	}
	if m.Retention.Period == "" {
		b.WriteString("none, nothing of the class may be read\n")
	} else {
		fmt.Fprintf(&b, "%s (%s), readable from %s\n", m.Retention.Period, m.Retention.Zone, m.Retention.ReadableFromUTC.Format(time.RFC3339Nano))
	}
	b.WriteString("Coverage in the interval:\n")
	for _, c := range m.Coverage {
		fmt.Fprintf(&b, "- %s: %s %s to %s\n", c.CollectorID, c.State, c.FromUTC.Format(time.RFC3339Nano), c.ToUTC.Format(time.RFC3339Nano))
	}
	if len(m.Coverage) == 0 {
		b.WriteString("- none\n")
	}
	b.WriteString("\n" + m.Disclaimer + "\n")
	return b.Bytes()
}

// marshalIndented is JSON with two spaces, one newline at the end and nothing escaped.
func marshalIndented(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// SHA256 returns the hash by which the ledger knows a sealed package.
func SHA256(sealed []byte) string { return hexSHA256(sealed) }
