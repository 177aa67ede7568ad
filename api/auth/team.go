package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// MaxTeams is how many teams one person is in at most.
const MaxTeams = 16

var teamForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// ValidTeam reports whether a text is a team's name: 1 to 32 of a-z 0-9 . _ - that
// begin with a letter or digit. It names a part of the organisation, never a person,
// since it stands in the ledger's clear headers.
func ValidTeam(name string) bool { return teamForm.MatchString(name) }

// teamList reads the griffier_team claim: one name or a list of them. A claim that is
// there and cannot be understood is an error: whose warrants somebody may see must not
// depend on which half of it could be read.
type teamList []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *teamList) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		var one string
		if err := json.Unmarshal(text, &one); err != nil {
			return errors.New("griffier_team: want a name or a list of names")
		}
		if one != "" {
			names = []string{one}
		}
	}
	if len(names) > MaxTeams {
		return fmt.Errorf("griffier_team: %d teams, want at most %d", len(names), MaxTeams)
	}
	for _, name := range names {
		if !ValidTeam(name) {
			return errors.New("griffier_team: a name is not 1 to 32 of a-z 0-9 . _ -")
		}
	}
	slices.Sort(names)
	*l = slices.Compact(names)
	return nil
}
