package engine

import (
	"strings"
	"testing"
)

func TestSplitInsert(t *testing.T) {
	for _, test := range []struct {
		text string
		want insertText
		ok   bool
	}{
		{"INSERT INTO t FORMAT Native", insertText{"INSERT INTO t", "Native", ""}, true},
		{"insert into db.t (a, b) settings x = 1 format JSONEachRow\n{}", insertText{"insert into db.t (a, b) settings x = 1", "JSONEachRow", "{}"}, true},
		{"INSERT INTO t VALUES (1), ('FORMAT')", insertText{"INSERT INTO t", "Values", " (1), ('FORMAT')"}, true},
		{"INSERT INTO values VALUES (1)", insertText{"INSERT INTO values", "Values", " (1)"}, true},
		{"INSERT INTO db . format (`values`, \"format\") VALUES", insertText{"INSERT INTO db . format (`values`, \"format\")", "Values", ""}, true},
		{"-- SELECT\n/* FORMAT x */ INSERT INTO TABLE `a b` FORMAT CSV \t\n1\n2", insertText{"-- SELECT\n/* FORMAT x */ INSERT INTO TABLE `a b`", "CSV", "1\n2"}, true},
		{"INSERT INTO t FORMAT CSV\n\n1", insertText{"INSERT INTO t", "CSV", "\n1"}, true},
		{"INSERT INTO t SELECT 1 FORMAT Null", insertText{}, false},
		{"INSERT INTO t WITH 1 AS x SELECT x", insertText{}, false},
		{"INSERT INTO t (SELECT 1)", insertText{}, false},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", insertText{}, false},
		{"SELECT 'INSERT INTO t FORMAT CSV'", insertText{}, false},
		{"INSERT", insertText{}, false},
		{"INSERT INTO t FORMAT", insertText{}, false},
		{"", insertText{}, false},
	} {
		got, ok := splitInsert(test.text)
		if got != test.want || ok != test.ok {
			t.Errorf("splitInsert(%q) = %+v, %v, want %+v, %v", test.text, got, ok, test.want, test.ok)
		}
	}
}

func TestReachesOutside(t *testing.T) {
	for statement, want := range map[string]string{
		"SELECT file('x')":                               "file",
		"SELECT FILE ('x')":                              "FILE",
		"SELECT `file`('x')":                             "file",
		"SELECT \"fi\\x6ce\"('x')":                       "an escaped name",
		"SELECT 1 INTO OUTFILE 'x'":                      "OUTFILE",
		"SELECT $a$ ' $a$, file('x'), ' '":               "file",
		"SELECT \u2018 ' \u2019, file('x'), ' '":         "file",
		"SELECT \u201cfile\u201d('x')":                   "file",
		"SELECT /* ' */ file('x') -- '":                  "file",
		"SELECT 'it\\'s a file', 'file''s', \"profile\"": "",
		"SELECT 1 -- file":                               "",
		"SELECT file_name, $$file$$ FROM files":          "",
	} {
		if got := reachesOutside(statement); got != want {
			t.Errorf("reachesOutside(%q) = %q, want %q", statement, got, want)
		}
	}
}

func FuzzSplitInsert(f *testing.F) {
	f.Add("INSERT INTO t (a) FORMAT Native\nabc")
	f.Add("/* x */ INSERT INTO `t` VALUES ('a\\'', $$ b $$)")
	f.Add("INSERT INTO FUNCTION file('x') SELECT \u2018 a \u2019")
	f.Fuzz(func(t *testing.T, text string) {
		reachesOutside(text)
		split, ok := splitInsert(text)
		if !ok {
			return
		}
		if !strings.HasPrefix(text, split.statement) || !strings.HasSuffix(text, split.data) {
			t.Fatalf("splitInsert(%q) = %+v is not made of its text", text, split)
		}
		if len(split.statement)+len(split.data) > len(text) {
			t.Fatalf("splitInsert(%q) = %+v overlaps", text, split)
		}
		if split.format == "" {
			t.Fatalf("splitInsert(%q) has no format", text)
		}
	})
}
