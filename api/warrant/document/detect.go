package document

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// Limits of a DOCX, which is a zip: nothing of it is inflated but its
// [Content_Types].xml, and of that no more than maxTypesBytes.
const (
	maxEntries    = 2000
	maxTypesBytes = 256 << 10
	// maxInflated and maxRatio judge what the archive says of itself, for whoever
	// will open it.
	maxInflated = 256 << 20
	maxRatio    = 200
	typesPart   = "[Content_Types].xml"
	mainPart    = "word/document.xml"
	mainType    = string(warrant.DOCX) + ".main+xml"
)

func refused(detail string) *reason.Error { return reason.New(reason.DocumentRefused, detail) }

// Detect returns the type of a document by its bytes, or DOCUMENT_REFUSED when it is
// none that is taken, or not the declared one. A declared type may have parameters,
// such as a charset.
func Detect(data []byte, declared string) (warrant.DocumentType, *reason.Error) {
	if len(data) == 0 {
		return "", refused("It is empty.")
	}
	if len(data) > warrant.MaxDocumentBytes {
		return "", refused("It is too large.")
	}
	media, _, err := mime.ParseMediaType(declared)
	if err != nil {
		return "", refused("Its declared type is missing, or is no media type.")
	}
	found, refusal := magic(data)
	if refusal != nil {
		return "", refusal
	}
	if media != string(found) {
		return "", refused("It is not of the type that was declared, but " + string(found) + ".")
	}
	return found, nil
}

// magic tells a type by a document's first bytes, or, of text, by all of them.
func magic(data []byte) (warrant.DocumentType, *reason.Error) {
	switch {
	case bytes.HasPrefix(data, []byte("%PDF-1.")), bytes.HasPrefix(data, []byte("%PDF-2.")):
		if !bytes.Contains(data[max(0, len(data)-2048):], []byte("%%EOF")) {
			return "", refused("The end of the PDF is missing.")
		}
		return warrant.PDF, nil
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		if !bytes.HasPrefix(data[8:], []byte("\x00\x00\x00\rIHDR")) || !bytes.HasSuffix(data, []byte("IEND\xaeB`\x82")) {
			return "", refused("The PNG is damaged.")
		}
		return warrant.PNG, nil
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		if !bytes.HasSuffix(bytes.TrimRight(data, "\x00"), []byte("\xff\xd9")) {
			return "", refused("The end of the JPEG is missing.")
		}
		return warrant.JPEG, nil
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		if err := word(data); err != nil {
			return "", &reason.Error{Reason: reason.DocumentRefused, Detail: "It is an archive, and no word-processing document that is taken.", Cause: err}
		}
		return warrant.DOCX, nil
	case plain(data):
		return warrant.Text, nil
	}
	return "", refused("It is neither pdf, docx, png, jpeg nor plain text.")
}

// plain reports whether data is text that a person can read: UTF-8 without control
// characters but those of lines, and without markup that something might run.
func plain(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return false
	}
	for _, r := range string(data) {
		if unicode.Is(unicode.Cc, r) && r != '\n' && r != '\r' && r != '\t' && r != '\f' || unicode.Is(unicode.Bidi_Control, r) {
			return false
		}
	}
	head := strings.ToLower(strings.TrimSpace(string(data[:min(len(data), 1024)])))
	for _, markup := range []string{"<!doctype", "<html", "<?xml", "<script", "<svg", "%!ps", "{\\rtf", "#!"} {
		if strings.HasPrefix(head, markup) {
			return false
		}
	}
	return head != ""
}

// word returns nil if data is a DOCX without macros.
func word(data []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if len(archive.File) > maxEntries {
		return errors.New("too many parts")
	}
	var types, main *zip.File
	var inflated uint64
	seen := map[string]bool{}
	for _, f := range archive.File {
		name := strings.ToLower(f.Name)
		switch {
		case seen[name]:
			return errors.New("a part stands there twice")
		case strings.Contains(name, "..") || strings.HasPrefix(name, "/") || strings.Contains(name, "\\"):
			return errors.New("a part has a path that leads out")
		case strings.HasSuffix(name, "vbaproject.bin"):
			return errors.New("it has macros")
		case f.UncompressedSize64 > maxInflated || f.UncompressedSize64 > maxRatio*f.CompressedSize64+maxTypesBytes:
			return errors.New("a part inflates too far")
		}
		seen[name] = true
		if inflated += f.UncompressedSize64; inflated > maxInflated {
			return errors.New("the parts inflate too far")
		}
		switch f.Name {
		case typesPart:
			types = f
		case mainPart:
			main = f
		}
	}
	if types == nil || main == nil || types.UncompressedSize64 > maxTypesBytes {
		return errors.New("no part says what it is, or there is no text")
	}
	r, err := types.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxTypesBytes+1)) // whatever the directory says of its size
	if err != nil {
		return err
	}
	if len(text) > maxTypesBytes {
		return errors.New("the part that says what it is is too long")
	}
	return wordType(text)
}

// wordType reads [Content_Types].xml, without entities, as far as the type of the
// main part.
func wordType(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	found := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("a document type declaration")
		case xml.StartElement:
			if t.Name.Local != "Override" {
				continue
			}
			var part, media string
			for _, a := range t.Attr {
				switch a.Name.Local {
				case "PartName":
					part = a.Value
				case "ContentType":
					media = a.Value
				}
			}
			found = found || part == "/"+mainPart && media == mainType
		}
	}
	if !found {
		return errors.New("its main part is no word-processing text")
	}
	return nil
}
