package disclosure

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"griffier/api/disclosure/etsi"
	"griffier/api/disclosure/letter"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// documentsAgree reads response.xml and letter.pdf and asks whether they say what the
// manifest and the rows of records.csv say.
func documentsAgree(xmlText, pdf []byte, m Manifest, rows [][]string) error {
	to, err := responseAgrees(xmlText, m, rows)
	if err != nil {
		return err
	}
	return letterFileAgrees(pdf, m, to, rows)
}

func letterFileAgrees(pdf []byte, m Manifest, to Addressee, rows [][]string) error {
	text, err := letter.Text(pdf)
	if err != nil {
		return errors.New("letter.pdf cannot be read")
	}
	reading, err := letter.NewReading(text)
	if err != nil {
		return err
	}
	return letterAgrees(reading, m, to, rows)
}

// responseAgrees returns who asked, which stands in response.xml alone; the manifest
// has the hash of the reference.
func responseAgrees(xmlText []byte, m Manifest, rows [][]string) (Addressee, error) {
	got, err := etsi.Parse(xmlText)
	if err != nil {
		return Addressee{}, errors.New("response.xml cannot be read")
	}
	to := Addressee{Country: got.CountryCode, Authority: got.OrganisationID, Reference: got.RequestNumber, Provider: got.CSPID}
	if hexSHA256([]byte(to.Reference)) != m.WarrantReferenceSHA256 {
		return to, errors.New("response.xml has another reference than the manifest")
	}
	want, err := responseOf(m, to, rows)
	if err != nil {
		return to, fmt.Errorf("records.csv: %w", err)
	}
	if !reflect.DeepEqual(got, want) {
		return to, errors.New("response.xml says something else than records.csv and the manifest")
	}
	return to, responseAsWritten(xmlText, got)
}

// maxRows bounds the rows that a verifier reads.
const maxRows = 1 << 17

// readRows returns the rows of records.csv under the manifest's columns.
func readRows(files []file, m Manifest) ([][]string, error) {
	csvText, _ := find(files, fileCSV)
	if len(m.Columns) == 0 {
		if len(csvText) > 0 {
			return nil, errors.New("records.csv has columns, and the manifest names none")
		}
		return nil, nil // of a preservation
	}
	r := csv.NewReader(bytes.NewReader(csvText))
	r.FieldsPerRecord = len(m.Columns)
	var rows [][]string
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil || len(rows) > maxRows {
			return nil, errors.New("records.csv cannot be read, or is longer than an answer is")
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], m.Columns) {
		return nil, errors.New("records.csv does not have the columns that the manifest names")
	}
	return rows[1:], nil
}

// recordsAgree asks whether the tables agree with each other and with the answer, and
// have no column that the category does not have.
func recordsAgree(files []file, m Manifest, rows [][]string) error {
	for _, name := range m.Columns {
		i := slices.IndexFunc(Columns, func(c Column) bool { return c.Name == name })
		if i < 0 || !Columns[i].Permits(warrant.Category(m.Category), warrant.Categories) {
			return errors.New("there is a column that a package of this category never has")
		}
	}
	if err := tablesAsWritten(files, m, rows); err != nil {
		return err
	}
	match := m.Answer.Reason == reason.Match
	switch n := len(rows); {
	case match != (n > 0):
		return fmt.Errorf("an answer %s with %d records", m.Answer.Reason, n)
	case n > 1 && m.Category == string(warrant.Attribution):
		return errors.New("an attribution names one line, and there are more")
	}
	text, certified := find(files, fileCertificate)
	if certified == match {
		return errors.New("a certificate belongs to a negative answer, and to no other")
	}
	if certified {
		return certificateAgrees(text, m)
	}
	return nil
}
