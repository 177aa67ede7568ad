package radius

import "griffier/schema"

// A group is what the sessions that share an Acct-Multi-Session-Id (RFC 2866
// §5.11) have in common: the line. Each is a session of its own, with its own
// addresses and end; but where only one of them names the line, as a NAS may for
// dual stack or a bundle of links, the others are of that line too.
type group struct {
	line     schema.Identifier
	sessions int
}

func newNAS() *nas { return &nas{sessions: map[string]*session{}, groups: map[string]*group{}} }

// line returns the line of a group, empty if it is not known.
func (n *nas) line(multi string) schema.Identifier {
	if g := n.groups[multi]; g != nil && multi != "" {
		return g.line
	}
	return schema.Identifier{}
}

// join adds a session to a group, unless it is in one. A group whose sessions name
// two lines names none.
func (n *nas) join(s *session, multi string) {
	if multi == "" || s.Multi != "" {
		return
	}
	s.Multi = multi
	g := n.groups[multi]
	if g == nil {
		g = &group{line: s.Identifier}
		n.groups[multi] = g
	} else if g.line != s.Identifier {
		g.line = schema.Identifier{}
	}
	g.sessions++
}

// leave takes a session out of its group.
func (n *nas) leave(s *session) {
	g := n.groups[s.Multi]
	if s.Multi == "" || g == nil {
		return
	}
	if g.sessions--; g.sessions == 0 {
		delete(n.groups, s.Multi)
	}
}
