package ledger

import "testing"

func TestCallerAs(t *testing.T) {
	for name, c := range map[string]struct {
		by   Caller
		of   []string
		want string
	}{
		"the role":               {Caller{Roles: []string{"operator"}}, []string{"operator"}, "operator"},
		"the first that is held": {Caller{Roles: []string{"overseer", "operator"}}, []string{"legal_officer", "operator", "overseer"}, "operator"},
		"another role":           {Caller{Roles: []string{"operator"}}, []string{"overseer"}, ""},
		"no role":                {Caller{Actor: "0f"}, []string{"overseer"}, ""},
		"none would do":          {Caller{Roles: []string{"operator"}}, nil, ""},
		"a machine":              {Caller{Roles: []string{"operator"}, Machine: true}, []string{"operator"}, ""},
	} {
		if got, ok := c.by.As(c.of...); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: As(%q) = %q, %v, want %q", name, c.of, got, ok, c.want)
		}
	}
}
