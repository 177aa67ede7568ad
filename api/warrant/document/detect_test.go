package document_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
)

const (
	typesOfWord = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>`
	pdf = "%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\ntrailer\n<</Root 1 0 R>>\n%%EOF\n"
)

type part struct{ name, text string }

// archive makes a zip of parts.
func archive(t testing.TB, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, p := range parts {
		f, err := w.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(p.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func word(t testing.TB, more ...part) []byte {
	return archive(t, append([]part{{"[Content_Types].xml", typesOfWord}, {"word/document.xml", "<w:document/>"}}, more...)...)
}

func pictures(t testing.TB) (pngBytes, jpegBytes []byte) {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	var a, b bytes.Buffer
	if err := png.Encode(&a, picture); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

func TestDetect(t *testing.T) {
	pngBytes, jpegBytes := pictures(t)
	for _, test := range []struct {
		name     string
		data     []byte
		declared string
		want     warrant.DocumentType
	}{
		{"pdf", []byte(pdf), "application/pdf", warrant.PDF},
		{"docx", word(t), string(warrant.DOCX), warrant.DOCX},
		{"png", pngBytes, "image/png", warrant.PNG},
		{"jpeg", jpegBytes, "image/jpeg", warrant.JPEG},
		{"text", []byte("Vordering 126na\r\nÜ 192.0.2.1\t\n"), "text/plain; charset=utf-8", warrant.Text},
		{"text with a mark", []byte("\xef\xbb\xbfVordering"), "text/plain", warrant.Text},
	} {
		if got, err := document.Detect(test.data, test.declared); err != nil || got != test.want {
			t.Errorf("%s: %s, %v", test.name, got, err)
		}
		// Its neighbour's type is not its own.
		for _, other := range warrant.DocumentTypes {
			if _, err := document.Detect(test.data, string(other)); other != test.want && (err == nil || err.Reason != reason.DocumentRefused) {
				t.Errorf("%s declared as %s: %v", test.name, other, err)
			}
		}
		if _, err := document.Detect(test.data, ""); err == nil {
			t.Errorf("%s is taken without a declared type", test.name)
		}
		if _, err := document.Detect(test.data[:len(test.data)-8], string(test.want)); err == nil && test.want != warrant.Text {
			t.Errorf("%s is taken without its end", test.name)
		}
	}
}

func TestDetectRefuses(t *testing.T) {
	pngBytes, _ := pictures(t)
	bomb := strings.Repeat("\x00", 20<<20)
	inTypes := func(text string) []byte {
		return archive(t, part{"[Content_Types].xml", text}, part{"word/document.xml", "x"})
	}
	for name, test := range map[string]struct {
		data     []byte
		declared warrant.DocumentType
	}{
		"nothing":                   {nil, warrant.Text},
		"spaces":                    {[]byte(" \n"), warrant.Text},
		"a pdf of wrong magic":      {[]byte("%PDX-1.7\n%%EOF"), warrant.PDF},
		"a pdf behind something":    {[]byte("GIF89a" + pdf), warrant.PDF},
		"a pdf without an end":      {[]byte("%PDF-1.7\n" + strings.Repeat("a", 4096)), warrant.PDF},
		"an html page":              {[]byte(" <!DOCTYPE html><script>"), warrant.Text},
		"an svg":                    {[]byte("<svg onload=alert(1)>"), warrant.Text},
		"a script":                  {[]byte("#!/bin/sh\nrm -rf /\n"), warrant.Text},
		"postscript":                {[]byte("%!PS-Adobe"), warrant.Text},
		"rtf":                       {[]byte("{\\rtf1"), warrant.Text},
		"latin-1":                   {[]byte("caf\xe9"), warrant.Text},
		"an escape":                 {[]byte("a\x1b[2J"), warrant.Text},
		"text that runs backwards":  {[]byte("192.0.2.\u202e17"), warrant.Text},
		"an elf":                    {[]byte("\x7fELF\x02\x01\x01"), warrant.Text},
		"a damaged png":             {append([]byte("\x89PNG\r\n\x1a\n"), pngBytes[16:]...), warrant.PNG},
		"a zip":                     {archive(t, part{"a.txt", "a"}), warrant.DOCX},
		"a zip's beginning":         {[]byte("PK\x03\x04"), warrant.DOCX},
		"a spreadsheet":             {archive(t, part{"[Content_Types].xml", strings.ReplaceAll(typesOfWord, "wordprocessingml.document", "spreadsheetml.sheet")}, part{"word/document.xml", "x"}), warrant.DOCX},
		"macros":                    {word(t, part{"word/vbaProject.bin", "x"}), warrant.DOCX},
		"a bomb":                    {word(t, part{"word/media/a.png", bomb}), warrant.DOCX},
		"a bomb that says its type": {inTypes(typesOfWord + bomb[:1<<20]), warrant.DOCX},
		"a part twice":              {word(t, part{"word/document.xml", "y"}), warrant.DOCX},
		"a way out":                 {word(t, part{"../../etc/passwd", "y"}), warrant.DOCX},
		"a document type":           {inTypes(`<!DOCTYPE Types [<!ENTITY a "b">]>` + typesOfWord), warrant.DOCX},
		"broken types":              {inTypes("<Types><Override"), warrant.DOCX},
		"too large":                 {bytes.Repeat([]byte("a"), warrant.MaxDocumentBytes+1), warrant.Text},
	} {
		if got, err := document.Detect(test.data, string(test.declared)); err == nil || err.Reason != reason.DocumentRefused {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	var many []part
	for i := range 2100 {
		many = append(many, part{fmt.Sprintf("word/%d.xml", i), "x"})
	}
	if _, err := document.Detect(word(t, many...), string(warrant.DOCX)); err == nil {
		t.Error("an archive of 2,102 parts is taken")
	}
}

// A directory that lies about a part's size does not make it inflate further.
func TestLyingArchive(t *testing.T) {
	data := archive(t, part{"[Content_Types].xml", typesOfWord + strings.Repeat(" ", 4<<20)}, part{"word/document.xml", "x"})
	// The true size, in the central directory, becomes a small one.
	size := []byte{0, 0, 0, 0}
	n := len(typesOfWord) + 4<<20
	for i := range size {
		size[i] = byte(n >> (8 * i))
	}
	if !bytes.Contains(data, size) {
		t.Fatal("the archive does not state the size")
	}
	lying := bytes.ReplaceAll(data, size, []byte{0, 1, 0, 0})
	if got, err := document.Detect(lying, string(warrant.DOCX)); err == nil {
		t.Errorf("taken as %s", got)
	}
}

func FuzzDetect(f *testing.F) {
	pngBytes, jpegBytes := pictures(f)
	for _, seed := range [][]byte{[]byte(pdf), word(f), pngBytes, jpegBytes, []byte("Vordering")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		taken := 0
		for _, declared := range warrant.DocumentTypes {
			if got, err := document.Detect(data, string(declared)); err == nil {
				if taken++; got != declared {
					t.Fatalf("declared %s, taken as %s", declared, got)
				}
			}
		}
		if taken > 1 {
			t.Fatalf("%q is of %d types", data, taken)
		}
	})
}
