package disclosure_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/warrant"
)

// good are the facts of a sample's result.
func good(s *sample) warrant.ResultFacts {
	return warrant.ResultFacts{Revision: 7, Attempt: 1, IntentIndex: s.intent.Index, Answer: string(s.answer)}
}

// retar seals a package of other files, and of the ledger's entry for it says nothing.
func retar(t *testing.T, s *sample, change func(files map[string]string, order *[]string)) {
	t.Helper()
	files := untar(t, s.plain)
	var order []string
	for _, name := range []string{"manifest.json", "manifest.sig", "manifest.tsr", "records.csv", "records.jsonl", "response.xml", "letter.pdf", "certificate.txt"} {
		if _, ok := files[name]; ok {
			order = append(order, name)
		}
	}
	change(files, &order)
	s.seal(t, tarOf(t, files, order, nil))
}

// tarOf is a tar of files as a package has them, but for what change does to each
// header.
func tarOf(t *testing.T, files map[string]string, order []string, change func(*tar.Header)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range order {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if change != nil {
			change(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.Write(make([]byte, (disclosure.Padding-b.Len()%disclosure.Padding)%disclosure.Padding))
	return b.Bytes()
}

// forge changes files and signs them anew with the provider's own key, and enters
// that: what a faulty or dishonest provider could do.
func forge(t *testing.T, s *sample, change func(map[string]string, *disclosure.Manifest)) {
	t.Helper()
	retar(t, s, func(f map[string]string, _ *[]string) {
		var m disclosure.Manifest
		if err := json.Unmarshal([]byte(f["manifest.json"]), &m); err != nil {
			t.Fatal(err)
		}
		change(f, &m)
		for i, file := range m.Files {
			m.Files[i].SHA256, m.Files[i].Bytes = disclosure.SHA256([]byte(f[file.Name])), int64(len(f[file.Name]))
		}
		sign(t, s, f, indented(t, m))
	})
	s.prove(t, good(s), nil)
}

// sign puts a manifest into files, with the provider's signature and, where the
// sample has one, a token.
func sign(t *testing.T, s *sample, f map[string]string, manifest string) {
	t.Helper()
	f["manifest.json"] = manifest
	f["manifest.sig"] = indented(t, struct {
		Format    string `json:"format"`
		Algorithm string `json:"algorithm"`
		KeyID     string `json:"key_id"`
		Signature []byte `json:"signature"`
	}{disclosure.SignatureFormat, "ed25519", disclosure.KeyID(s.signer.Public()), ed25519.Sign(ed25519.NewKeyFromSeed(seed(1)), []byte(manifest))})
	if s.tsa != nil {
		f["manifest.tsr"] = string(s.stamp(t, []byte(manifest)))
	}
}

// indented is JSON as a package has it.
func indented(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// editReceipt changes what a sample's receipt says.
func editReceipt(t *testing.T, s *sample, change func(*disclosure.Receipt)) {
	t.Helper()
	var r disclosure.Receipt
	if err := json.Unmarshal(s.receipt, &r); err != nil {
		t.Fatal(err)
	}
	change(&r)
	s.receipt = []byte(indented(t, r))
}
