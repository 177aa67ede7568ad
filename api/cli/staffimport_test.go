package cli

import (
	"strings"
	"testing"
)

func TestParseStaff(t *testing.T) {
	rows := strings.Repeat("sofie,L-1\n", maxStaffRows)
	for _, test := range []struct{ name, text, want string }{
		{"good", "account,line\nsofie,L-1\n\"b,ea\",L-2\r\n", ""},
		{"as many as there may be", "account,line\n" + rows, ""},
		{"one too many", "account,line\n" + rows + "bea,L-2\n", "more than 5000"},
		{"nothing", "", "no line"},
		{"a header alone", "account,line\n", "no line"},
		{"no header", "sofie,L-1\n", "header"},
		{"columns turned round", "line,account\nL-1,sofie\n", "header"},
		{"a column too many", "account,line\nsofie,L-1,x\n", "line 2: wrong number of fields"},
		{"a column too few", "account,line\nsofie\n", "line 2: wrong number of fields"},
		{"an empty field", "account,line\nsofie,\n", "line 2: a field is empty"},
		{"a stray quote", "account,line\nso\"fie,L-1\n", "line 2"},
		{"a byte order mark", "\ufeffaccount,line\nsofie,L-1\n", "header"},
		{"too long", "account,line\n" + strings.Repeat("a", maxStaffBytes) + ",L-1\n", "longer than"},
	} {
		got, err := parseStaff(strings.NewReader(test.text))
		switch {
		case test.want == "" && (err != nil || len(got) == 0):
			t.Errorf("%s: %d rows, %v", test.name, len(got), err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "sofie"):
			t.Errorf("%s: the error repeats what the file says: %v", test.name, err)
		}
	}
}

func FuzzParseStaff(f *testing.F) {
	for _, seed := range []string{"account,line\nsofie,L-1\n", "account,line\n\"a\"\"b\",\"c\nd\"\n", "account,line\n\xff,\x00\n", "\n\naccount,line\na,b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := parseStaff(strings.NewReader(text))
		if err != nil {
			return
		}
		if len(rows) == 0 || len(rows) > maxStaffRows {
			t.Fatalf("%d rows", len(rows))
		}
		for _, row := range rows {
			if row.Account == "" || row.LineId == "" {
				t.Fatalf("an empty field in %q", text)
			}
		}
	})
}
