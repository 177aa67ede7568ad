package engine

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzParseRequest(f *testing.F) {
	f.Add("query=SELECT+1&database=d&param_a=1&max_threads=2&readonly=1&zz=1", "", "SELECT 1")
	f.Add("client_protocol_version=54460&compress=1&decompress=1", "", "\x00\x01")
	f.Add("query=INSERT+INTO+t+FORMAT+CSV", "gzip", "1,2")
	f.Add("a%27=1", "deflate", "")
	f.Fuzz(func(t *testing.T, query, encoding, body string) {
		r := httptest.NewRequest(http.MethodPost, "http://engine/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Encoding", encoding)
		req, err := parseRequest(r)
		if err != nil {
			asException(err) // must be one
			return
		}
		for i, s := range req.settings {
			if !identifier.MatchString(s.name) {
				t.Fatalf("setting name %q would end up in a statement", s.name)
			}
			if s.name == "readonly" && i != len(req.settings)-1 {
				t.Fatalf("readonly is not the last of %v", req.settings)
			}
		}
		const limit = 1 << 10
		sql, insert, data, err := req.statement(limit)
		if err != nil {
			return
		}
		if insert != nil && data == nil {
			t.Fatalf("INSERT %q has no data", sql)
		}
		if len(sql) > len(req.sql)+limit+2 {
			t.Fatalf("statement of %d bytes from a limit of %d", len(sql), limit)
		}
	})
}

func TestQuoting(t *testing.T) {
	for text, want := range map[string]string{
		"":               "''",
		"it's":           `'it\'s'`,
		`back\slash`:     `'back\\slash'`,
		`\' OR 1 = 1 --`: `'\\\' OR 1 = 1 --'`,
	} {
		if got := quoteText(text); got != want {
			t.Errorf("quoteText(%q) = %s, want %s", text, got, want)
		}
	}
	if got, want := quoteName("a`b\\"), "`a\\`b\\\\`"; got != want {
		t.Errorf("quoteName = %s, want %s", got, want)
	}
}
