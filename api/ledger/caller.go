package ledger

import "slices"

// Caller is who asks for an entry, in the words of its header: by pseudonym, and
// by the names that roles have in claims and in the ledger.
type Caller struct {
	Actor   string
	Roles   []string
	Machine bool
}

// As returns the first of roles that the caller has: the one to act in. It is
// false without any, and for a machine, which decides nothing whatever its roles.
func (c Caller) As(roles ...string) (string, bool) {
	for _, r := range roles {
		if !c.Machine && slices.Contains(c.Roles, r) {
			return r, true
		}
	}
	return "", false
}
