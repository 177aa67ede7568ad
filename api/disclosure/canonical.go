package disclosure

import (
	"bytes"
	"errors"
	"slices"

	"griffier/api/disclosure/etsi"
	"griffier/api/strictjson"
)

// What means something has one text, and a verifier takes no other: not the same JSON
// with a key twice, in another case or of another spelling of base64; not the same tar
// with other owners, times or bytes in its padding; no table with other line ends. So
// there is nothing in evidence that one reader sees and another does not.

// errNotAsWritten is of a text that means something and is not its one text.
var errNotAsWritten = errors.New("it is not to the byte as it is written")

// unmarshalCanonical reads JSON that [marshalIndented] wrote.
func unmarshalCanonical(text []byte, into any) error {
	if err := strictjson.Unmarshal(text, into); err != nil {
		return err
	}
	if again, err := marshalIndented(into); err != nil || !bytes.Equal(again, text) {
		return errNotAsWritten
	}
	return nil
}

// inOrder reports whether files are those of the manifest, in the order in which a
// package has them.
func inOrder(files []file, m Manifest) bool {
	want := []string{fileManifest, fileSignature}
	if m.Timestamped {
		want = append(want, fileToken)
	}
	for _, f := range m.Files {
		want = append(want, f.Name)
	}
	return slices.EqualFunc(files, want, func(f file, name string) bool { return f.name == name })
}

// tablesAsWritten asks whether the tables are those that rows make.
func tablesAsWritten(files []file, m Manifest, rows [][]string) error {
	csvText, err := csvOf(m.Columns, rows)
	if err != nil {
		return err
	}
	lines, err := jsonLinesOf(m.Columns, rows)
	if err != nil {
		return err
	}
	for name, want := range map[string][]byte{fileCSV: csvText, fileJSONLines: lines} {
		if got, _ := find(files, name); !bytes.Equal(got, want) {
			return errors.New(name + ": " + errNotAsWritten.Error())
		}
	}
	return nil
}

// responseAsWritten asks whether response.xml is the one text of what it says.
func responseAsWritten(xmlText []byte, said etsi.Response) error {
	if again, err := etsi.Encode(said); err != nil || !bytes.Equal(again, xmlText) {
		return errors.New("response.xml: " + errNotAsWritten.Error())
	}
	return nil
}

// certificateAgrees asks whether certificate.txt says what the manifest says. What to
// do about an answer is the one line that the manifest does not have.
func certificateAgrees(text []byte, m Manifest) error {
	_, after, found := bytes.Cut(text, []byte("\n"+m.Answer.Meaning+"\n"))
	cure, _, ended := bytes.Cut(after, []byte("\n"))
	if !found || !ended || !bytes.Equal(text, certificateWith(m, string(cure))) {
		return errors.New("certificate.txt says something else than the manifest")
	}
	return nil
}
