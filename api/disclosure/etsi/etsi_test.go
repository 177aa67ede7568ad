package etsi_test

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure/etsi"
)

var update = flag.Bool("update", false, "write the golden file")

func octets(n uint64) *uint64 { return &n }

// sample has every element and key once.
func sample() etsi.Response {
	at := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC) // 02:30 in Amsterdam, the first of the two
	var other []etsi.Pair
	for _, k := range etsi.Keys {
		other = append(other, etsi.Pair{Key: k.Name, Value: "value of " + k.Name})
	}
	other[len(other)-1].Value = `quotes "x", 50 %; %22 & <b>`
	other = append(other, etsi.Pair{Key: "column-nas_port", Value: "7"})
	return etsi.Response{
		CountryCode: "NL", OrganisationID: "OM-Amsterdam", RequestNumber: "PV-2026/0042", CSPID: "isp.example", At: at, Status: etsi.Complete,
		Records: []etsi.Record{
			{Subscriber: &etsi.Subscriber{ID: "L-1", Name: "Jansen & Zn. <Den Haag>", ValidFrom: at.AddDate(-1, 0, 0), ServiceID: "glas 1000",
				Installation: etsi.Address{Street: "Lange Voorhout", HouseNumber: "8", Postcode: "2514 EA", Town: "Den Haag", Country: "NL"}}},
			{Usage: &etsi.Usage{AccessTime: at, AuthID: "u@isp.example", Start: at, End: at.Add(90 * time.Minute), DeviceID: "L-1", ElementID: "bng1",
				Address: netip.MustParseAddr("192.0.2.17"), OctetsDownloaded: octets(1 << 63), OctetsUploaded: octets(0)}, Other: other},
			{Usage: &etsi.Usage{Start: at.Add(1500 * time.Millisecond), Address: netip.MustParseAddr("2a::1")}},
			{Other: []etsi.Pair{{Key: "record", Value: "CERTIFICATE"}, {Key: "answer", Value: "NO_MATCH"}}},
		},
	}
}

func encode(t *testing.T, r etsi.Response) []byte {
	t.Helper()
	text, err := etsi.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGolden(t *testing.T) {
	text := encode(t, sample())
	path := filepath.Join("testdata", "response.xml")
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("response.xml changed:\n%s", text)
	}
	if !bytes.Contains(text, []byte("Outline-conformant")) || bytes.Contains(bytes.ReplaceAll(text, []byte("Outline-conformant"), nil), []byte("conformant")) {
		t.Error("the file does not say what it is")
	}
}

// imported is what a receiver's program sees: the paths of elements by local
// name, with their text, in the order of the file.
func imported(t *testing.T, text []byte) (out []string) {
	t.Helper()
	var path []string
	var chars string
	leaf := false
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			path, chars, leaf = append(path, e.Name.Local), "", true
		case xml.CharData:
			chars += string(e)
		case xml.EndElement:
			if leaf {
				out = append(out, strings.Join(path, "/")+"="+chars)
			}
			path, leaf = path[:len(path)-1], false
		}
	}
}

func TestForm(t *testing.T) {
	lines := imported(t, encode(t, sample()))
	const record = "retainedDataMessage/retainedDataPayload/responseMessage/responsePayload/ResponseRecord/"
	const usage = record + "recordPayload/networkAccessRecord/naServiceUsage/"
	var got []string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, usage); ok {
			got = append(got, rest)
		}
	}
	want := []string{ // element order is tag order
		"naAccessTime=20261025003000+0000", "naAuthID=u@isp.example", "naStatus/succeeded=", "interval/startTime=20261025003000+0000",
		"interval/endTime=20261025020000+0000", "interval/durationTime=5400", "naDeviceId=L-1", "naNwElementID=bng1",
		"naAssignedAddress/iPTextAddress=192.0.2.17", "octetsDownloaded=9223372036854775808", "octetsUploaded=0",
		"naStatus/succeeded=", "interval/startTime=20261025003001.5+0000", "naAssignedAddress/iPTextAddress=002a:0000:0000:0000:0000:0000:0000:0001",
	}
	if !slices.Equal(got, want) {
		t.Errorf("uses:\n%s", strings.Join(got, "\n"))
	}
	for _, want := range []string{
		"retainedDataMessage/rdHeaderId=0.4.0.2.3.0.28",
		"retainedDataMessage/retainedDataHeader/requestID/countryCode=NL",
		"retainedDataMessage/retainedDataPayload/responseMessage/responseStatus/responseComplete=",
		record + "recordPayload/networkAccessRecord/naSubscriber/subscription/NASubscription/installationAddress/postalCode=2514 EA",
		record + "recordPayload/networkAccessRecord/naSubscriber/genericSubscriberInfo/name=Jansen & Zn. <Den Haag>",
		record + `additionalInformation/otherInformation="record"="CERTIFICATE";"answer"="NO_MATCH"`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing %s", want)
		}
	}
	for _, l := range lines {
		if strings.Contains(strings.ToLower(l), "payment") || strings.Contains(strings.ToLower(l), "billing") {
			t.Errorf("there is no element for a billing address: %s", l)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[A-Za-z0-9 &<>"'%;éĳ/._-]{0,12}`)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.SampledFrom([]int64{0, 0, 5e8, 1}).Draw(t, "ns")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		r := etsi.Response{CountryCode: "NL", OrganisationID: word.Draw(t, "org"), RequestNumber: word.Draw(t, "number"), CSPID: word.Draw(t, "csp"),
			At: instant.Draw(t, "at"), Status: rapid.SampledFrom([]etsi.Status{etsi.Complete, etsi.Incomplete, etsi.Unavailable, etsi.Failed}).Draw(t, "status")}
		for range rapid.IntRange(0, 4).Draw(t, "records") {
			var record etsi.Record
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				record.Subscriber = &etsi.Subscriber{ID: word.Draw(t, "id"), Name: word.Draw(t, "name"), ValidFrom: instant.Draw(t, "from"), ValidTo: instant.Draw(t, "to"),
					ServiceID: word.Draw(t, "plan"), Installation: etsi.Address{Street: word.Draw(t, "street"), Town: word.Draw(t, "town")}}
			case 1:
				u := &etsi.Usage{AccessTime: instant.Draw(t, "access"), AuthID: word.Draw(t, "auth"), Start: instant.Draw(t, "start"), DeviceID: word.Draw(t, "line")}
				if !u.Start.IsZero() && rapid.Bool().Draw(t, "ended") {
					u.End = u.Start.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "for")))
				}
				if rapid.Bool().Draw(t, "volume") {
					u.OctetsDownloaded = octets(rapid.Uint64().Draw(t, "down"))
				}
				if rapid.Bool().Draw(t, "addressed") {
					u.Address = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))).Unmap()
				}
				record.Usage = u
			}
			for _, k := range etsi.Keys {
				if rapid.Bool().Draw(t, k.Name) {
					record.Other = append(record.Other, etsi.Pair{Key: k.Name, Value: word.Draw(t, "value")})
				}
			}
			r.Records = append(r.Records, record)
		}
		text, err := etsi.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		// A receiver may meet another version's namespace, and no indentation.
		for _, form := range [][]byte{text, bytes.ReplaceAll(text, []byte("v1.28.1#"), []byte("v1.26.1#"))} {
			got, err := etsi.Parse(form)
			if err != nil {
				t.Fatalf("%v\n%s", err, form)
			}
			if !reflect.DeepEqual(got, r) {
				t.Fatalf("read back\n%+v\nwant\n%+v\n%s", got, r, form)
			}
		}
	})
}

func TestEncodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*etsi.Response){
		"control character":    func(r *etsi.Response) { r.Records[0].Subscriber.Name = "a\x01b" },
		"broken UTF-8":         func(r *etsi.Response) { r.RequestNumber = "\xff" },
		"unknown status":       func(r *etsi.Response) { r.Status = "responseMaybe" },
		"two things":           func(r *etsi.Response) { r.Records[0].Usage = &etsi.Usage{} },
		"unknown key":          func(r *etsi.Response) { r.Records[0].Other = []etsi.Pair{{Key: "Session Id", Value: "1"}} },
		"key out of order":     func(r *etsi.Response) { slices.Reverse(r.Records[3].Other) },
		"key twice":            func(r *etsi.Response) { r.Records[3].Other[1] = r.Records[3].Other[0] },
		"key that cheats":      func(r *etsi.Response) { r.Records[0].Other = []etsi.Pair{{Key: `column-"="`, Value: "1"}} },
		"ends before it is so": func(r *etsi.Response) { r.Records[1].Usage.End = r.Records[1].Usage.Start.Add(-1) },
	} {
		r := sample()
		spoil(&r)
		if text, err := etsi.Encode(r); err == nil {
			t.Errorf("%s: encoded\n%s", name, text)
		}
	}
}

// TestParseRefuses has one change to a good file each.
func TestParseRefuses(t *testing.T) {
	good := string(encode(t, sample()))
	if _, err := etsi.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><retainedDataMessage>&b;</retainedDataMessage>`
	external := `<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]><r>&e;</r>`
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the good file has no %s", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"billion laughs":      laughs,
		"external entity":     external,
		"depth":               strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000),
		"count":               "<a>" + strings.Repeat("<b/>", 1<<20) + "</a>",
		"size":                good + strings.Repeat(" ", etsi.MaxBytes),
		"cut":                 good[:len(good)-10],
		"two roots":           good + good[strings.Index(good, "<retained"):],
		"text outside":        good + "x",
		"another root":        swap("<retainedDataMessage ", "<message ") + "",
		"another element":     swap("<naAuthID>", "<naBillingDetails>x</naBillingDetails><naAuthID>"),
		"element twice":       swap("<naAuthID>", "<naAuthID>x</naAuthID><naAuthID>"),
		"text between":        swap("<naServiceUsage>", "<naServiceUsage>x"),
		"time without offset": swap("20261025003000+0000", "20261025003000"),
		"duration":            swap("5400", "5401"),
		"record number":       swap("<recordNumber>2", "<recordNumber>3"),
		"octets":              swap("9223372036854775808", "18446744073709551616"),
		"negative octets":     swap("9223372036854775808", "-1"),
		"address":             swap("192.0.2.17", "192.0.2.0/24"),
		"status":              swap("responseComplete", "responsePerfect"),
		"other information":   swap(`"record"="CERTIFICATE"`, `"Record"="CERTIFICATE"`),
		"number in elements":  swap("5400", "<b>5400</b>"),
	} {
		if r, err := etsi.Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := etsi.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`<retainedDataMessage/>`))
	f.Add([]byte(`<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := etsi.Parse(text)
		if err != nil {
			return
		}
		again, err := etsi.Encode(r)
		if err != nil {
			return // read, but nothing that we would write
		}
		if back, err := etsi.Parse(again); err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("%v\n%+v\n%+v", err, r, back)
		}
	})
}
