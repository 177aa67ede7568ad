package disclosure

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/strictjson"
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

// Checks, in the order in which they are made.
const (
	CheckReceipt   = "receipt"
	CheckLedger    = "ledger entry"
	CheckOpen      = "decryption"
	CheckSignature = "signature"
	CheckFiles     = "files"
	CheckAgreement = "manifest and ledger"
	CheckRecords   = "records"
)

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
func Verify(sealed, receipt []byte, trust Trust, identities ...age.Identity) Report {
	var r Report
	entry, err := verifyReceipt(receipt, trust)
	proven := r.add(CheckReceipt, err, fmt.Sprintf("the ledger %s holds this result as entry %d", trust.LedgerOrigin, entry.Index))
	var facts warrant.ResultFacts
	if proven {
		facts, err = verifyEntry(entry, sealed)
		proven = r.add(CheckLedger, err, "the entry is the result of this task and holds the hash of exactly this package")
	} else {
		r.skip("the receipt proves no entry", CheckLedger)
	}
	if len(identities) == 0 {
		r.skip("no key was given to open the package", CheckOpen, CheckSignature, CheckFiles, CheckAgreement, CheckRecords)
		return r
	}
	plain, err := unseal(sealed, identities)
	var files []file
	if err == nil {
		files, err = readTar(plain)
	}
	if !r.add(CheckOpen, err, "the package was sealed to your key and is whole") {
		r.skip("the package cannot be opened", CheckSignature, CheckFiles, CheckAgreement, CheckRecords)
		return r
	}
	m, err := verifySignature(files, trust)
	if !r.add(CheckSignature, err, "the manifest was signed by the provider's key") {
		r.skip("the manifest cannot be trusted", CheckFiles, CheckAgreement, CheckRecords)
		return r
	}
	r.Manifest = &m
	filesOK := r.add(CheckFiles, verifyFiles(files, m), "every file is as the manifest says, and there is no other")
	if proven {
		r.add(CheckAgreement, verifyAgreement(m, entry, facts), "the manifest speaks of the same task, attempt and answer as the ledger, and of an intent before the result")
	} else {
		r.skip("no entry is proven", CheckAgreement)
	}
	if filesOK {
		r.add(CheckRecords, verifyRecords(files, m), recordsText(m))
	} else {
		r.skip("the files are not as the manifest says", CheckRecords)
	}
	return r
}

func recordsText(m Manifest) string {
	if m.Answer.Reason == reason.Match {
		return "what is disclosed has the columns that the manifest names, which are those of its category"
	}
	return "no line is disclosed: " + string(m.Answer.Reason)
}

func verifyReceipt(text []byte, trust Trust) (ledger.Entry, error) {
	receipt, err := ParseReceipt(text)
	if err != nil {
		return ledger.Entry{}, err
	}
	entry, err := receipt.Result.Verify(trust.LedgerKey)
	if err != nil {
		return ledger.Entry{}, fmt.Errorf("the receipt does not prove an entry of the ledger you trust: %w", err)
	}
	if receipt.TaskID != entry.Header.TaskID {
		return ledger.Entry{}, errors.New("the receipt names another task than the entry that it proves")
	}
	return entry, nil
}

func verifyEntry(e ledger.Entry, sealed []byte) (warrant.ResultFacts, error) {
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
	return facts, nil
}

func unseal(sealed []byte, identities []age.Identity) ([]byte, error) {
	if len(sealed) > MaxPackageBytes {
		return nil, fmt.Errorf("the package is longer than %d bytes", MaxPackageBytes)
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return nil, fmt.Errorf("the package does not open with your key: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(plain, MaxPackageBytes))
	if err != nil {
		return nil, fmt.Errorf("the package was altered: %w", err)
	}
	return text, nil
}

// readTar reads the regular files of a package's tar: known names, each once.
func readTar(plain []byte) ([]file, error) {
	var files []file
	known := []string{fileManifest, fileSignature, fileCSV, fileJSONLines, fileCertificate}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
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
	if err := strictjson.Unmarshal(sigText, &sig); err != nil || sig.Format != SignatureFormat || sig.Algorithm != "ed25519" {
		return m, errors.New("the signature file cannot be read")
	}
	if sig.KeyID != KeyID(trust.PackageKey) {
		return m, errors.New("the manifest was signed by a key that you do not trust")
	}
	if !ed25519.Verify(trust.PackageKey, text, sig.Signature) {
		return m, errors.New("the signature does not fit the manifest: one of them was altered")
	}
	if err := strictjson.Unmarshal(text, &m); err != nil || m.Format != ManifestFormat {
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
	if len(files) != len(m.Files)+2 {
		return errors.New("there is a file that the manifest does not name")
	}
	return nil
}

func verifyAgreement(m Manifest, e ledger.Entry, f warrant.ResultFacts) error {
	switch {
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

func verifyRecords(files []file, m Manifest) error {
	csvText, _ := find(files, fileCSV)
	lines, _ := find(files, fileJSONLines)
	rows, err := csv.NewReader(bytes.NewReader(csvText)).ReadAll()
	if len(m.Columns) == 0 && len(csvText) == 0 {
		rows = [][]string{{}} // a preservation has neither columns nor rows
	}
	if err != nil || len(rows) == 0 || !slices.Equal(rows[0], m.Columns) {
		return errors.New("records.csv does not have the columns that the manifest names")
	}
	for _, name := range m.Columns {
		i := slices.IndexFunc(Columns, func(c Column) bool { return c.Name == name })
		if i < 0 || !Columns[i].Permits(warrant.Category(m.Category), warrant.Categories) {
			return errors.New("there is a column that a package of this category never has")
		}
	}
	var objects []map[string]string
	for d := json.NewDecoder(bytes.NewReader(lines)); ; {
		var object map[string]string
		if err := d.Decode(&object); err == io.EOF {
			break
		} else if err != nil {
			return errors.New("records.jsonl cannot be read")
		}
		objects = append(objects, object)
	}
	match := m.Answer.Reason == reason.Match
	switch n := len(objects); {
	case n != len(rows)-1:
		return errors.New("records.csv and records.jsonl differ")
	case match != (n > 0):
		return fmt.Errorf("an answer %s with %d records", m.Answer.Reason, n)
	case n > 1 && m.Category == string(warrant.Attribution):
		return errors.New("an attribution names one line, and there are more")
	}
	for i, object := range objects {
		if len(object) != len(m.Columns) {
			return errors.New("records.csv and records.jsonl differ")
		}
		for k, name := range m.Columns {
			if object[name] != rows[i+1][k] {
				return errors.New("records.csv and records.jsonl differ")
			}
		}
	}
	_, certified := find(files, fileCertificate)
	if certified == match {
		return errors.New("a certificate belongs to a negative answer, and to no other")
	}
	return nil
}
