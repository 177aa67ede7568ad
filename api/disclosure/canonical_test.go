package disclosure_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
)

// Any bit of a receipt that is changed is found, by somebody without a key.
func TestReceiptHasOneText(t *testing.T) {
	s := newSample(t, reason.Match)
	failed := func(receipt []byte) bool {
		return disclosure.Verify(s.sealed, receipt, s.trust, seal.Identity{}).Failed()
	}
	if failed(s.receipt) {
		t.Fatal("the sample does not verify")
	}
	for i := range s.receipt {
		for _, bit := range []byte{0x01, 0x04, 0x20} {
			altered := bytes.Clone(s.receipt)
			altered[i] ^= bit
			if !failed(altered) {
				t.Errorf("byte %d, %q to %q, is not found: %s", i, s.receipt[i], altered[i], altered[max(0, i-40):min(len(altered), i+10)])
			}
		}
	}
	for name, change := range map[string]func(string) string{
		"carriage returns":   func(r string) string { return strings.ReplaceAll(r, "\n", "\r\n") },
		"a byte order mark":  func(r string) string { return "\ufeff" + r },
		"a space at the end": func(r string) string { return r + " " },
		"a key twice": func(r string) string {
			return strings.Replace(r, `"task_id": "t1"`, `"task_id": "t2",`+"\n"+`  "task_id": "t1"`, 1)
		},
		"a key in capitals":   func(r string) string { return strings.Replace(r, `"task_id"`, `"TASK_ID"`, 1) },
		"an escape":           func(r string) string { return strings.Replace(r, `"t1"`, `"\u00741"`, 1) },
		"a number otherwise":  func(r string) string { return strings.Replace(r, `"index": 1,`, `"index": 1e0,`, 1) },
		"base64 in two lines": func(r string) string { return strings.Replace(r, `"leaf": "`, `"leaf": "\n`, 1) },
		"an empty time stamp": func(r string) string { return strings.TrimSuffix(r, "\n}\n") + ",\n  \"timestamp\": \"\"\n}\n" },
		"on one line": func(r string) string {
			var b bytes.Buffer
			if err := json.Compact(&b, []byte(r)); err != nil {
				t.Fatal(err)
			}
			return b.String()
		},
	} {
		altered := change(string(s.receipt))
		if altered == string(s.receipt) {
			t.Errorf("%s: nothing was changed", name)
		}
		if !failed([]byte(altered)) {
			t.Errorf("%s is not found", name)
		}
	}
}

// A file of a package has one text: a provider that writes the same in another way,
// and signs and enters it, is caught, since one reader could see in it what another
// does not.
func TestPackageHasOneText(t *testing.T) {
	match, none := newSample(t, reason.Match), newSample(t, reason.NoMatch)
	replace := func(file, old, new string) func(*testing.T, map[string]string) {
		return func(t *testing.T, f map[string]string) {
			if !strings.Contains(f[file], old) {
				t.Fatalf("%s has no %q:\n%s", file, old, f[file])
			}
			f[file] = strings.Replace(f[file], old, new, 1)
		}
	}
	add := func(file, before, after string) func(*testing.T, map[string]string) {
		return func(_ *testing.T, f map[string]string) { f[file] = before + f[file] + after }
	}
	lines := func(file, end string) func(*testing.T, map[string]string) {
		return func(_ *testing.T, f map[string]string) {
			f[file] = strings.ReplaceAll(strings.ReplaceAll(f[file], "\r\n", "\n"), "\n", end)
		}
	}
	for _, test := range []struct {
		name   string
		of     *sample
		check  string
		change func(*testing.T, map[string]string)
	}{
		{"table with other line ends", match, disclosure.CheckRecords, lines("records.csv", "\n")},
		{"table with a line more", match, disclosure.CheckRecords, add("records.csv", "", "\r\n")},
		{"table without its last line end", match, disclosure.CheckRecords, func(_ *testing.T, f map[string]string) {
			f["records.csv"] = strings.TrimSuffix(f["records.csv"], "\r\n")
		}},
		{"table with a byte order mark", match, disclosure.CheckRecords, add("records.csv", "\ufeff", "")},
		{"table with quotes that are not needed", match, disclosure.CheckRecords, replace("records.csv", ",A,", `,"A",`)},
		{"lines with other line ends", match, disclosure.CheckRecords, lines("records.jsonl", "\r\n")},
		{"lines with a key twice", match, disclosure.CheckRecords, replace("records.jsonl", `"line_id":"A"`, `"line_id":"B","line_id":"A"`)},
		{"lines with a key in capitals", match, disclosure.CheckRecords, replace("records.jsonl", `"line_id"`, `"LINE_ID"`)},
		{"lines with an escape", match, disclosure.CheckRecords, replace("records.jsonl", `"line_id":"A"`, `"line_id":"\u0041"`)},
		{"lines with a space", match, disclosure.CheckRecords, replace("records.jsonl", `"line_id":"A"`, `"line_id": "A"`)},
		{"XML with something after its end", match, disclosure.CheckResponse, add("response.xml", "", "\n")},
		{"XML with a comment after its end", match, disclosure.CheckResponse, add("response.xml", "", "<!-- B -->\n")},
		{"XML with a comment inside", match, disclosure.CheckResponse, replace("response.xml", "<cSPID>", "<!-- B --><cSPID>")},
		{"XML with an instruction", match, disclosure.CheckResponse, replace("response.xml", "<cSPID>", "<?show B?><cSPID>")},
		{"XML with other line ends", match, disclosure.CheckResponse, lines("response.xml", "\r\n")},
		{"XML with a section of characters", match, disclosure.CheckResponse, replace("response.xml", "PV-2026/0042", "<![CDATA[PV-2026/0042]]>")},
		{"XML with a character by number", match, disclosure.CheckResponse, replace("response.xml", "PV-2026/0042", "&#80;V-2026/0042")},
		{"XML with other quotes", match, disclosure.CheckResponse, replace("response.xml", `version="1.0"`, `version='1.0'`)},
		{"XML with another name space inside", match, disclosure.CheckResponse, replace("response.xml", "<cSPID>", `<cSPID xmlns:x="y">`)},
		{"letter with something after its end", match, disclosure.CheckLetter, add("letter.pdf", "", " ")},
		{"letter with an update", match, disclosure.CheckLetter, add("letter.pdf", "", "1 0 obj\n<< >>\nendobj\nstartxref\n0\n%%EOF\n")},
		{"certificate of another answer", none, disclosure.CheckRecords, replace("certificate.txt", "NO_MATCH", "COVERAGE_GAP")},
		{"certificate of another instant", none, disclosure.CheckRecords, replace("certificate.txt", "2026-11-19T12:00:00Z", "2026-11-19T11:00:00Z")},
		{"certificate with other line ends", none, disclosure.CheckRecords, lines("certificate.txt", "\r\n")},
		{"certificate with a line more", none, disclosure.CheckRecords, add("certificate.txt", "", "Line A had it.\n")},
		{"certificate with a line between", none, disclosure.CheckRecords, replace("certificate.txt", "\nSearched:\n", "\nLine A had it.\n\nSearched:\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := *test.of
			forge(t, &s, func(f map[string]string, _ *disclosure.Manifest) { test.change(t, f) })
			wantFailed(t, &s, test.check)
		})
	}

	// What is signed, and the signature, which the manifest has no hash of.
	signed := func(change func(string) string) func(*testing.T, *sample, map[string]string) {
		return func(t *testing.T, s *sample, f map[string]string) {
			text := change(f["manifest.json"])
			if text == f["manifest.json"] {
				t.Fatal("nothing was changed")
			}
			sign(t, s, f, text)
		}
	}
	signature := func(change func(string) string) func(*testing.T, *sample, map[string]string) {
		return func(t *testing.T, _ *sample, f map[string]string) {
			text := change(f["manifest.sig"])
			if text == f["manifest.sig"] {
				t.Fatal("nothing was changed")
			}
			f["manifest.sig"] = text
		}
	}
	once := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	for name, change := range map[string]func(*testing.T, *sample, map[string]string){
		"manifest with a key twice":          signed(once(`"task_id": "t1"`, `"task_id": "t2",`+"\n"+`  "task_id": "t1"`)),
		"manifest with a key in capitals":    signed(once(`"task_id"`, `"Task_ID"`)),
		"manifest with other line ends":      signed(func(m string) string { return strings.ReplaceAll(m, "\n", "\r\n") }),
		"manifest with a space at the end":   signed(func(m string) string { return m + " " }),
		"manifest with an escape":            signed(once(`"task_id": "t1"`, `"task_id": "\u00741"`)),
		"manifest with a number otherwise":   signed(once(`"generation": 1`, `"generation": 1.0`)),
		"manifest with an instant otherwise": signed(once(`T12:00:00Z"`, `T12:00:00.0Z"`)),
		"signature with spare bits":          signature(spareBits),
		"signature in two lines":             signature(once(`"signature": "`, `"signature": "\n`)),
		"signature with a key twice":         signature(once(`"algorithm": "ed25519"`, `"algorithm": "none", "algorithm": "ed25519"`)),
		"signature with a line more":         signature(func(text string) string { return text + "\n" }),
	} {
		t.Run(name, func(t *testing.T) {
			s := *match
			retar(t, &s, func(f map[string]string, _ *[]string) { change(t, &s, f) })
			s.prove(t, good(&s), nil)
			wantFailed(t, &s, disclosure.CheckSignature)
		})
	}
}

// spareBits sets the four bits after a signature's last byte, which base64 carries and
// no reader sees (RFC 4648 §3.5).
func spareBits(text string) string {
	at := strings.Index(text, `=="`) - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, text[at])
	return text[:at] + string(alphabet[last|0x0f]) + text[at+1:]
}

// TestSpareBits: the trick is one, by the decoder that is used.
func TestSpareBits(t *testing.T) {
	text := `"` + base64.StdEncoding.EncodeToString(make([]byte, 64)) + `"`
	altered := spareBits(text)
	a, err := base64.StdEncoding.DecodeString(strings.Trim(text, `"`))
	b, err2 := base64.StdEncoding.DecodeString(strings.Trim(altered, `"`))
	if err != nil || err2 != nil || altered == text || !bytes.Equal(a, b) {
		t.Errorf("%s and %s: %v, %v", text, altered, err, err2)
	}
}

// A package is its files, and no tar around them says more.
func TestTarHasOneText(t *testing.T) {
	match := newSample(t, reason.Match)
	files := untar(t, match.plain)
	order := []string{"manifest.json", "manifest.sig", "records.csv", "records.jsonl", "response.xml", "letter.pdf"}
	if again := tarOf(t, files, order, nil); !bytes.Equal(again, match.plain) {
		t.Fatal("the sample is not the tar that is changed here")
	}
	header := func(change func(*tar.Header)) []byte { return tarOf(t, files, order, change) }
	first := func(change func(*tar.Header)) []byte {
		return header(func(h *tar.Header) {
			if h.Name == order[0] {
				change(h)
			}
		})
	}
	raw := func(change func([]byte) []byte) []byte { return change(bytes.Clone(match.plain)) }
	padding := 512 + len(files[order[0]])
	if padding%512 == 0 {
		t.Fatal("the manifest leaves no padding")
	}
	for name, plain := range map[string][]byte{
		"an owner":              header(func(h *tar.Header) { h.Uid = 1 }),
		"a group":               header(func(h *tar.Header) { h.Gid = 1 }),
		"an owner's name":       header(func(h *tar.Header) { h.Uname = "alice" }),
		"a group's name":        header(func(h *tar.Header) { h.Gname = "alice" }),
		"a time":                header(func(h *tar.Header) { h.ModTime = time.Unix(1, 0) }),
		"a mode":                header(func(h *tar.Header) { h.Mode = 0o4755 }),
		"a device":              header(func(h *tar.Header) { h.Devmajor = 1 }),
		"a pax record":          first(func(h *tar.Header) { h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"GRIFFIER.line": "A"} }),
		"a pax time":            first(func(h *tar.Header) { h.Format, h.ModTime = tar.FormatPAX, time.Unix(0, 1) }),
		"another format":        header(func(h *tar.Header) { h.Format = tar.FormatGNU }),
		"an old type":           raw(func(b []byte) []byte { return retyped(b, 0) }),
		"a link":                first(func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "records.csv", 0 }),
		"a byte in the padding": raw(func(b []byte) []byte { b[padding] = 'A'; return b }),
		"more at the end":       raw(func(b []byte) []byte { return append(b, make([]byte, 512)...) }),
		"a byte after the end":  raw(func(b []byte) []byte { return append(b, 'A') }),
		"a file after the end":  raw(func(b []byte) []byte { return append(b, match.plain...) }),
		"half an end":           raw(func(b []byte) []byte { return b[:len(bytes.TrimRight(b, "\x00"))/512*512+512] }),
		"less at the end":       raw(func(b []byte) []byte { return b[:len(b)-512] }),
		"an empty file more":    tarOf(t, files, append([]string{"notes.txt"}, order...), nil),
	} {
		t.Run(name, func(t *testing.T) {
			if bytes.Equal(plain, match.plain) {
				t.Fatal("nothing was changed")
			}
			s := *match
			s.seal(t, plain)
			s.prove(t, good(&s), nil)
			wantFailed(t, &s, disclosure.CheckOpen)
		})
	}
	t.Run("another order", func(t *testing.T) {
		s := *match
		s.seal(t, tarOf(t, files, []string{order[1], order[0], order[3], order[2], order[4], order[5]}, nil))
		s.prove(t, good(&s), nil)
		wantFailed(t, &s, disclosure.CheckFiles)
	})
}

// retyped gives a tar's first file another type, and its header the sum for that.
func retyped(b []byte, flag byte) []byte {
	const typeAt, sumAt, sumLen = 156, 148, 8
	b[typeAt] = flag
	sum := int64(0)
	for i, c := range b[:512] {
		if i >= sumAt && i < sumAt+sumLen {
			c = ' '
		}
		sum += int64(c)
	}
	copy(b[sumAt:], strings.Repeat("0", 6-len(octal(sum)))+octal(sum)+"\x00 ")
	return b
}

func octal(n int64) string { return strconv.FormatInt(n, 8) }

// wantFailed wants a check to be the first that fails.
func wantFailed(t *testing.T, s *sample, check string) {
	t.Helper()
	r := s.verify()
	for _, c := range r.Checks {
		if c.Verdict == disclosure.VerdictFailed {
			if c.Name != check {
				t.Errorf("%s failed first: %s; want %s", c.Name, c.Text, check)
			}
			return
		}
	}
	t.Errorf("nothing failed, want %s: %+v", check, r.Checks)
}
