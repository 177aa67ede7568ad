package disclosure_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/etsi"
	"griffier/api/disclosure/letter"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// packed returns the files of a package of a category with one record, or with none
// of a negative answer.
func packed(t *testing.T, category warrant.Category, answer disclosure.Answer, records ...disclosure.Record) map[string]string {
	t.Helper()
	signer, err := disclosure.NewSigner(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	p := disclosure.NewListPlan(disclosure.Question{Target: "line:asked", Instant: noon}, at(60), time.Second)
	plain, err := disclosure.Tar(signer, disclosure.Case{TaskID: "t", Reference: "PV-1", Category: string(category), Zone: zone, QueriedAt: noon, Language: letter.Dutch, IntentIndex: 7,
		To: disclosure.Addressee{Country: "NL", Authority: "NL-OM", Reference: "PV-1", RequestedBy: "J. de Vries", Provider: "isp.example"}},
		p, disclosure.Evidence{}, answer, records, disclosure.ColumnsFor(category, warrant.Categories))
	if err != nil {
		t.Fatal(err)
	}
	return untar(t, plain)
}

// TestResponse has every category's record in the elements that the outline has, and
// under keys that are documented.
func TestResponse(t *testing.T) {
	record, _ := marked()
	found := disclosure.Answer{Reason: reason.Match}
	for category, wants := range map[warrant.Category][]string{
		warrant.Attribution: {"<naServiceUsage>", "<naDeviceId>line-7c<", "<iPTextAddress>192.0.2.17<", `"port"="40001";"protocol"="17";"held-prefix"="2001:db8:77::/56"`,
			`"source"="source-s";"certainty"="certainty-c"`, "<naSubscriber>", "<subscriberID>line-7c<", "<name>Alice Jansen<", "<postalCode>2514 EA<", `"address-role"="installation"`},
		warrant.Identity:     {"<naSubscriber>", "<subscriberID>line-7c<", "<streetName>Lange Voorhout<", `"asked-instant"="2026-11-19T12:00:00.5Z"`, `"address-role"="installation"`},
		warrant.History:      {"<naServiceUsage>", `"range"="41001-42001";"held-protocol"="132"`, `"beyond-window"="both"`, "<startTime>20261119095023+0000<", "<endTime>20261119140937+0000<", "<durationTime>15554<"},
		warrant.TimeCategory: {"<startTime>20261119095023+0000<", `"end-cause"="lost_carrier"`},
		warrant.Volume:       {"<octetsDownloaded>987654321<", `"packets-downloaded"="123456"`, `"counted-by"="kernel-k"`},
	} {
		text := packed(t, category, found, record)["response.xml"]
		for _, want := range append(wants, "<responseComplete/>", `"record"="`+string(category)+`"`, `"log-index"="7"`, `"disclaimer"="The answer names the subscriber of the line, never the user of it.`) {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%s", category, want, text)
			}
		}
		if strings.Contains(text, `"column-`) {
			t.Errorf("%s has a column that no key is documented for:\n%s", category, text)
		}
		if category != warrant.Volume && strings.Contains(text, "octets") || category == warrant.Volume && strings.Contains(text, "naSubscriber") {
			t.Errorf("%s says what is of another category:\n%s", category, text)
		}
		if r, err := etsi.Parse([]byte(text)); err != nil || r.RequestNumber != "PV-1" || len(r.Records) == 0 {
			t.Errorf("%s: %+v, %v", category, r, err)
		}
	}
	up := record
	up.Direction = "up"
	if text := packed(t, warrant.Volume, found, up)["response.xml"]; !strings.Contains(text, "<octetsUploaded>987654321<") || strings.Contains(text, "octetsDownloaded") {
		t.Errorf("volume from the line:\n%s", text)
	}
	whole := record
	whole.PortStart, whole.PortEnd = 0, 65535
	if text := packed(t, warrant.History, found, whole)["response.xml"]; strings.Contains(text, `"range"`) {
		t.Errorf("a whole address has a block:\n%s", text)
	}
}

// TestResponseStatus: what a receiver's program acts on says the same as the answer.
func TestResponseStatus(t *testing.T) {
	record, _ := marked()
	for _, test := range []struct {
		answer disclosure.Answer
		want   etsi.Status
	}{
		{disclosure.Answer{Reason: reason.Match}, etsi.Complete},
		{disclosure.Answer{Reason: reason.Match, Incomplete: []reason.Reason{reason.CoverageGap}}, etsi.Incomplete},
		{disclosure.Answer{Reason: reason.NoMatch}, etsi.Complete},
		{disclosure.Answer{Reason: reason.CoverageGap}, etsi.Incomplete},
		{disclosure.Answer{Reason: reason.RetentionElapsed}, etsi.Unavailable},
		{disclosure.Answer{Reason: reason.DataNotHeld}, etsi.Unavailable},
		{disclosure.Answer{Reason: reason.PortRequired, Candidates: "2-10"}, etsi.Failed},
		{disclosure.Answer{Reason: reason.AmbiguousBoundary}, etsi.Failed},
		{disclosure.Answer{Reason: reason.OtherProvider, Provider: "Ander"}, etsi.Complete},
	} {
		var records []disclosure.Record
		if test.answer.Reason == reason.Match {
			records = append(records, record)
		}
		files := packed(t, warrant.History, test.answer, records...)
		r, err := etsi.Parse([]byte(files["response.xml"]))
		if err != nil || r.Status != test.want {
			t.Errorf("%+v is %s, %v, want %s", test.answer, r.Status, err, test.want)
		}
		text, err := letter.Text([]byte(files["letter.pdf"]))
		if err != nil || !strings.Contains(text, string(test.answer.Reason)) {
			t.Errorf("the letter does not say %s: %v", test.answer.Reason, err)
		}
	}
}

// TestCertificateOfTheRegister: where only the register was asked, a certificate says
// nothing of retention or coverage, by which no line is known.
func TestCertificateOfTheRegister(t *testing.T) {
	text := packed(t, warrant.Identity, disclosure.Answer{Reason: reason.NoMatch})["certificate.txt"]
	for _, want := range []string{"Target                line:asked", "NO_MATCH", disclosure.SearchedRegister[0]} {
		if !strings.Contains(text, want) {
			t.Errorf("the certificate does not say %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"Retention", "Coverage", "Address "} {
		if strings.Contains(text, not) {
			t.Errorf("the certificate says %q:\n%s", not, text)
		}
	}
}

// TestLetterHasWords: a Dutch letter has Dutch words for all that can have been searched,
// and for every column.
func TestLetterHasWords(t *testing.T) {
	var record letter.Record
	for _, c := range disclosure.Columns {
		record = append(record, letter.Field{Name: c.Name, Value: "x"})
	}
	good := letter.Letter{Zone: time.UTC, Answer: letter.Answer{Reason: reason.Match}, Records: []letter.Record{record},
		Searched: slices.Concat(disclosure.Searched, disclosure.SearchedHold, disclosure.SearchedPreservation, disclosure.SearchedRegister, disclosure.SearchedWindow)}
	for _, language := range []letter.Language{letter.Dutch, letter.English} {
		l := good
		l.Language = language
		if _, err := letter.Render(l); err != nil {
			t.Error(err)
		}
		l.Records = []letter.Record{append(slices.Clone(record), letter.Field{Name: "favourite_colour", Value: "x"})}
		if _, err := letter.Render(l); err == nil || !strings.Contains(err.Error(), "favourite_colour") {
			t.Errorf("%s: a column without a label: %v", language, err)
		}
	}
	good.Language, good.Searched = letter.Dutch, append(good.Searched, "tea leaves")
	if _, err := letter.Render(good); err == nil || !strings.Contains(err.Error(), "tea leaves") {
		t.Errorf("something searched for which there are no words: %v", err)
	}
}

// TestUnsealable: what XML or CSV cannot hold is not bent to fit; nothing leaves.
func TestUnsealable(t *testing.T) {
	record, _ := marked()
	signer, err := disclosure.NewSigner(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	p := disclosure.NewListPlan(disclosure.Question{Target: "line:asked", Instant: noon}, at(60), time.Second)
	for name, spoil := range map[string]func(*disclosure.Record){
		"control character": func(r *disclosure.Record) { r.Subscriber.Name = "a\x02b" },
		"carriage return":   func(r *disclosure.Record) { r.Subscriber.Name = "a\r\nb" },
		"broken UTF-8":      func(r *disclosure.Record) { r.Subscriber.Name = "\xff" },
	} {
		bad := record
		spoil(&bad)
		if _, err := disclosure.Tar(signer, disclosure.Case{TaskID: "t", Category: "IDENTITY", Zone: time.UTC}, p, disclosure.Evidence{}, disclosure.Answer{Reason: reason.Match},
			[]disclosure.Record{bad}, disclosure.ColumnsFor(warrant.Identity, warrant.Categories)); err == nil {
			t.Errorf("%s: packed", name)
		}
	}
}

// TestLongValues: a name that takes several lines is read from the letter wherever on
// its pages it comes to stand.
func TestLongValues(t *testing.T) {
	var records []disclosure.Record
	for i := range 30 {
		r, _ := marked()
		r.LineID = fmt.Sprintf("line-%d", i)
		r.Subscriber.Name = strings.Repeat("Van-den-Berg ", 23)
		records = append(records, r)
		packed(t, warrant.Identity, disclosure.Answer{Reason: reason.Match}, records...)
	}
}
