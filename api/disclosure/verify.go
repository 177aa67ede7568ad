package disclosure

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"griffier/api/disclosure/seal"
	"griffier/api/disclosure/stamp"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// MaxPackageBytes is the largest package that is written or read.
const MaxPackageBytes = 16 << 20

// Verdict is the outcome of one check.
type Verdict string

// Verdicts. A check that another's failure made impossible is not checked.
const (
	VerdictOK         Verdict = "ok"
	VerdictFailed     Verdict = "failed"
	VerdictNotChecked Verdict = "not checked"
)

// Checks, in the order in which they are made. Those before decryption need no key.
const (
	CheckReceipt    = "receipt"
	CheckCheckpoint = "checkpoint"
	CheckInclusion  = "inclusion"
	CheckWitness    = "witnesses"
	CheckStamped    = "receipt time stamp"
	CheckLedger     = "ledger entry"
	CheckOpen       = "decryption"
	CheckSignature  = "signature"
	CheckToken      = "time stamp"
	CheckFiles      = "files"
	CheckAgreement  = "manifest and ledger"
	CheckRecords    = "records"
	CheckResponse   = "response.xml"
	CheckLetter     = "letter.pdf"
)

// inside are the checks that need the package opened.
var inside = []string{CheckSignature, CheckToken, CheckFiles, CheckAgreement, CheckRecords, CheckResponse, CheckLetter}

// Check is one check and its verdict, in plain words.
type Check struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
}

// Report is what [Verify] found out.
type Report struct {
	Checks []Check `json:"checks"`
	// Manifest is set once its signature is verified.
	Manifest *Manifest `json:"manifest,omitempty"`
}

// Verified reports whether every check was made and is ok.
func (r Report) Verified() bool {
	return len(r.Checks) > 0 && !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Verdict != VerdictOK })
}

// Failed reports whether any check failed.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Verdict == VerdictFailed })
}

func (r *Report) add(name string, err error, ok string) bool {
	if err != nil {
		r.Checks = append(r.Checks, Check{name, VerdictFailed, err.Error()})
		return false
	}
	r.Checks = append(r.Checks, Check{name, VerdictOK, ok})
	return true
}

func (r *Report) skip(why string, names ...string) {
	for _, name := range names {
		r.Checks = append(r.Checks, Check{name, VerdictNotChecked, why})
	}
}

// Verify checks a sealed package and its receipt, offline, against what the
// verifier trusts. Without an identity that opens the package only the checks
// that need none are made, and the report is not Verified.
func Verify(sealed, receiptText []byte, trust Trust, identity seal.Identity) Report {
	var r Report
	receipt, entry, proven := r.outside(sealed, receiptText, trust)
	if identity.Empty() {
		r.skip("no key was given to open the package", append([]string{CheckOpen}, inside...)...)
		return r
	}
	plain, err := identity.Open(sealed, MaxPackageBytes)
	var files []file
	if err == nil {
		files, err = readTar(plain)
	}
	if !r.add(CheckOpen, err, "the package was sealed to your key and is whole") {
		r.skip("the package cannot be opened", inside...)
		return r
	}
	m, err := verifySignature(files, trust)
	if !r.add(CheckSignature, err, "the manifest was signed by the provider's key") {
		r.skip("the manifest cannot be trusted", inside[1:]...)
		return r
	}
	r.Manifest = &m
	text, _ := find(files, fileManifest)
	token, _ := find(files, fileToken)
	r.stamped(CheckToken, token, text, trust, entry, "the manifest", m.Timestamped)
	filesOK := r.add(CheckFiles, verifyFiles(files, m), "every file is as the manifest says, and there is no other")
	if proven != nil {
		r.add(CheckAgreement, verifyAgreement(m, entry, *proven, receipt), "the manifest speaks of the same task, attempt and answer as the ledger, and of an intent before the result")
	} else {
		r.skip("no entry is proven", CheckAgreement)
	}
	if !filesOK {
		r.skip("the files are not as the manifest says", CheckRecords, CheckResponse, CheckLetter)
		return r
	}
	r.readable(files, m)
	return r
}

// outside makes the checks that need no key. It returns the entry, and what it says
// if it is proven to be this package's.
func (r *Report) outside(sealed, text []byte, trust Trust) (Receipt, ledger.Entry, *warrant.ResultFacts) {
	receipt, err := ParseReceipt(text)
	if !r.add(CheckReceipt, err, "the receipt is of a form that this program knows") {
		r.skip("there is no receipt to read", CheckCheckpoint, CheckInclusion, CheckWitness, CheckStamped, CheckLedger)
		return receipt, ledger.Entry{}, nil
	}
	signed := r.add(CheckCheckpoint, verifyCheckpoint(receipt.Result.Checkpoint, trust), fmt.Sprintf("the ledger %s signed the state that the receipt speaks of", trust.LedgerOrigin))
	entry, err := verifyInclusion(receipt, trust)
	included := false
	if signed {
		included = r.add(CheckInclusion, err, fmt.Sprintf("that state holds this result as entry %d", entry.Index))
		r.witnesses(receipt.Result, trust)
	} else {
		r.skip("the checkpoint cannot be trusted", CheckInclusion, CheckWitness)
	}
	if !included {
		entry = ledger.Entry{}
	}
	r.stamped(CheckStamped, receipt.Timestamp, []byte(receipt.Result.Checkpoint), trust, entry, "the checkpoint", receipt.Timestamping == TimestampToken)
	if !included {
		r.skip("the receipt proves no entry", CheckLedger)
		return receipt, entry, nil
	}
	facts, err := verifyEntry(entry, receipt, sealed)
	if !r.add(CheckLedger, err, "the entry is the result of this task and holds the hash of exactly this package") {
		return receipt, entry, nil
	}
	return receipt, entry, &facts
}

// witnesses counts who else signed the checkpoint.
func (r *Report) witnesses(p ledger.Proof, trust Trust) {
	if len(trust.WitnessKeys) == 0 {
		r.add(CheckWitness, nil, "your trust file names no witness, so none is asked for")
		return
	}
	signed, err := p.Cosigners(trust.WitnessKeys...)
	names := map[string]bool{}
	for _, s := range signed {
		names[s.Witness] = true
	}
	switch want := max(trust.WitnessesRequired, 1); {
	case err != nil:
		err = errors.New("a witness's signature under the checkpoint is false: it was altered")
	case len(names) < want:
		err = fmt.Errorf("%d of the witnesses that you trust signed the checkpoint; your trust file wants %d", len(names), want)
	}
	r.add(CheckWitness, err, fmt.Sprintf("%s signed the same state", strings.Join(slices.Sorted(maps.Keys(names)), " and ")))
}

// stampSlack is how far a time stamp may be from the ledger's own time.
const stampSlack = 2 * time.Hour

// stamped checks a time stamp over text. Whoever trusts a root expects one; without a
// root none can be checked.
func (r *Report) stamped(name string, token, text []byte, trust Trust, entry ledger.Entry, what string, said bool) {
	switch {
	case len(token) == 0 && said:
		r.add(name, fmt.Errorf("the time stamp over %s was taken out", what), "")
	case len(token) == 0 && len(trust.TimestampRoots) > 0:
		r.add(name, fmt.Errorf("%s has no time stamp, and your trust file has roots for one", what), "")
	case len(token) == 0:
		r.add(name, nil, fmt.Sprintf("the provider states that %s has no time stamp", what))
	case len(trust.TimestampRoots) == 0:
		r.skip("your trust file has no root for time stamps (timestamp_roots)", name)
	default:
		info, err := stamp.Verify(token, sha256.Sum256(text), trust.roots())
		if err != nil {
			err = fmt.Errorf("the time stamp over %s is not good: %w", what, err)
		} else if at := entry.Header.At; !at.IsZero() && info.At.Sub(at).Abs() > stampSlack {
			err = fmt.Errorf("the time stamp over %s is of %s, hours from the ledger's %s: a clock was wrong, or an entry was back-dated", what, info.At.Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		}
		r.add(name, err, fmt.Sprintf("%s confirms that %s existed at %s", info.Authority, what, info.At.Format(time.RFC3339)))
	}
}

// readable checks that the tables, the XML and the letter say the same.
func (r *Report) readable(files []file, m Manifest) {
	rows, err := readRows(files, m)
	if err == nil {
		err = recordsAgree(files, m, rows)
	}
	if !r.add(CheckRecords, err, recordsText(m)) {
		r.skip("the tables cannot be relied on", CheckResponse, CheckLetter)
		return
	}
	xmlText, _ := find(files, fileResponse)
	to, err := responseAgrees(xmlText, m, rows)
	if !r.add(CheckResponse, err, "response.xml says the same as the tables and the manifest") {
		r.skip("who asked cannot be relied on", CheckLetter)
		return
	}
	pdf, _ := find(files, fileLetter)
	r.add(CheckLetter, letterFileAgrees(pdf, m, to, rows), "letter.pdf says the same as the tables, response.xml and the manifest")
}

func recordsText(m Manifest) string {
	if m.Answer.Reason == reason.Match {
		return "what is disclosed has the columns that the manifest names, which are those of its category"
	}
	return "no line is disclosed: " + string(m.Answer.Reason)
}

func verifyCheckpoint(checkpoint string, trust Trust) error {
	v, err := ledger.Verifier(trust.LedgerKey)
	if err != nil {
		return errors.New("your trust file's ledger key cannot be read")
	}
	if _, err := note.Open([]byte(checkpoint), note.VerifierList(v)); err != nil {
		return errors.New("the checkpoint is not signed by the ledger that you trust")
	}
	return nil
}

func verifyInclusion(receipt Receipt, trust Trust) (ledger.Entry, error) {
	entry, err := receipt.Result.Verify(trust.LedgerKey)
	if err != nil {
		return ledger.Entry{}, fmt.Errorf("the receipt does not prove an entry of that state: %w", err)
	}
	if receipt.TaskID != entry.Header.TaskID {
		return ledger.Entry{}, errors.New("the receipt names another task than the entry that it proves")
	}
	return entry, nil
}

func verifyEntry(e ledger.Entry, receipt Receipt, sealed []byte) (warrant.ResultFacts, error) {
	var facts warrant.ResultFacts
	if e.Header.Kind != warrant.KindTaskResult {
		return facts, errors.New("the entry is not a result")
	}
	if err := json.Unmarshal(e.Header.Facts, &facts); err != nil {
		return facts, errors.New("the entry's facts cannot be read")
	}
	if facts.PackageSHA256 != hexSHA256(sealed) || facts.PackageBytes != int64(len(sealed)) {
		return facts, errors.New("the ledger holds the hash of another package: this one was altered or exchanged")
	}
	if receipt.PackageSHA256 != facts.PackageSHA256 {
		return facts, errors.New("the receipt names another package than the entry that it proves")
	}
	return facts, nil
}

// readTar reads the regular files of a package's tar: known names, each once, and
// nothing beside them.
func readTar(plain []byte) ([]file, error) {
	var files []file
	known := []string{fileManifest, fileSignature, fileToken, fileCSV, fileJSONLines, fileResponse, fileLetter, fileCertificate}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the package is no tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !slices.Contains(known, h.Name) || slices.ContainsFunc(files, func(f file) bool { return f.name == h.Name }) {
			return nil, errors.New("the package holds a file that does not belong there")
		}
		data, err := io.ReadAll(io.LimitReader(r, MaxPackageBytes))
		if err != nil {
			return nil, fmt.Errorf("the package is cut short: %w", err)
		}
		files = append(files, file{h.Name, data})
	}
	if again, err := writeTar(files); err != nil || !bytes.Equal(again, plain) {
		return nil, errors.New("the package has more in it than its files: " + errNotAsWritten.Error())
	}
	return files, nil
}

func find(files []file, name string) ([]byte, bool) {
	i := slices.IndexFunc(files, func(f file) bool { return f.name == name })
	if i < 0 {
		return nil, false
	}
	return files[i].data, true
}

func verifySignature(files []file, trust Trust) (Manifest, error) {
	var m Manifest
	text, ok := find(files, fileManifest)
	sigText, sigOK := find(files, fileSignature)
	if !ok || !sigOK {
		return m, errors.New("manifest or signature is missing")
	}
	var sig signature
	if err := unmarshalCanonical(sigText, &sig); err != nil || sig.Format != SignatureFormat || sig.Algorithm != "ed25519" {
		return m, errors.New("the signature file cannot be read")
	}
	if sig.KeyID != KeyID(trust.PackageKey) {
		return m, errors.New("the manifest was signed by a key that you do not trust")
	}
	if !ed25519.Verify(trust.PackageKey, text, sig.Signature) {
		return m, errors.New("the signature does not fit the manifest: one of them was altered")
	}
	if err := unmarshalCanonical(text, &m); err != nil || m.Format != ManifestFormat {
		return m, errors.New("the manifest is of a form that this program does not know")
	}
	return m, nil
}

func verifyFiles(files []file, m Manifest) error {
	for _, want := range m.Files {
		data, ok := find(files, want.Name)
		if !ok {
			return fmt.Errorf("%s is missing", want.Name)
		}
		if hexSHA256(data) != want.SHA256 || int64(len(data)) != want.Bytes {
			return fmt.Errorf("%s is not the file that was signed", want.Name)
		}
	}
	if !inOrder(files, m) {
		return errors.New("there is a file that the manifest does not name, or the files are in another order")
	}
	return nil
}

func verifyAgreement(m Manifest, e ledger.Entry, f warrant.ResultFacts, receipt Receipt) error {
	switch {
	case m.Timestamped && receipt.Timestamping == TimestampNone:
		return errors.New("the receipt says that there is no time-stamping authority, and the manifest was stamped by one")
	case m.TaskID != e.Header.TaskID || m.WarrantID != e.Header.WarrantID:
		return errors.New("the manifest speaks of another task or warrant than the ledger")
	case m.Generation != e.Header.Generation || m.Attempt != f.Attempt:
		return errors.New("the manifest speaks of another generation or attempt than the ledger")
	case string(m.Answer.Reason) != f.Answer:
		return errors.New("the manifest gives another answer than the ledger")
	case m.IntentIndex != f.IntentIndex || m.IntentIndex >= e.Index:
		return errors.New("the manifest cites another intent than the ledger, or one that is not before the result")
	}
	return nil
}
