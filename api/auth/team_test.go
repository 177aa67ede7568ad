package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTeamClaim(t *testing.T) {
	var many []string
	for i := range MaxTeams + 1 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprint("t", i)))
	}
	for _, test := range []struct {
		name, claim string
		want        []string
		refused     bool
	}{
		{"one", `"noord"`, []string{"noord"}, false},
		{"a list", `["zuid","noord","zuid"]`, []string{"noord", "zuid"}, false},
		{"none", `[]`, nil, false},
		{"empty", `""`, nil, false},
		{"null", `null`, nil, false},
		{"as many as there may be", "[" + strings.Join(many[1:], ",") + "]", nil, false},
		{"one too many", "[" + strings.Join(many, ",") + "]", nil, true},
		{"an empty name in a list", `["noord",""]`, nil, true},
		{"a capital", `"Noord"`, nil, true},
		{"a space", `"noord "`, nil, true},
		{"a homoglyph", `"nооrd"`, nil, true},
		{"a path", `"../noord"`, nil, true},
		{"32 characters", `"` + strings.Repeat("a", 32) + `"`, []string{strings.Repeat("a", 32)}, false},
		{"33 characters", `"` + strings.Repeat("a", 33) + `"`, nil, true},
		{"a number", `7`, nil, true},
		{"an object", `{"team":"noord"}`, nil, true},
		{"half of it", `["noord",7]`, nil, true},
	} {
		var claims struct {
			Teams teamList `json:"griffier_team"`
		}
		err := json.Unmarshal([]byte(`{"griffier_team":`+test.claim+`}`), &claims)
		if (err != nil) != test.refused {
			t.Errorf("%s: %v, want refused %v", test.name, err, test.refused)
		}
		if test.refused && len(claims.Teams) > 0 {
			t.Errorf("%s: refused, and yet %v", test.name, claims.Teams)
		}
		if test.want != nil && !slices.Equal(claims.Teams, test.want) {
			t.Errorf("%s: %v, want %v", test.name, claims.Teams, test.want)
		}
	}
}

func FuzzTeamClaim(f *testing.F) {
	for _, seed := range []string{`"noord"`, `["a","b"]`, `null`, `[[]]`, `"\u0000"`, `["a",1]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		var l teamList
		if json.Unmarshal([]byte(claim), &l) != nil {
			return
		}
		if len(l) > MaxTeams || !slices.IsSorted(l) || len(slices.Compact(slices.Clone(l))) != len(l) {
			t.Fatalf("%q gives %v", claim, l)
		}
		for _, name := range l {
			if !ValidTeam(name) {
				t.Fatalf("%q gives the team %q", claim, name)
			}
		}
	})
}
