package warrantrpc

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scope keeps callers to the warrants of their own teams, whatever rpc they call
// (disclosure.md D-42). The server asks it about every request before a handler sees
// it, so that a warrant, task or hold of another team is refused at the same place and
// with the same bytes as one that does not exist.
type Scope struct {
	State *warrant.State
	// HoldOf returns the warrant of a hold, or false.
	HoldOf func(holdID string) (warrantID string, ok bool)
}

// Named are the fields of requests that name something of a warrant, and how each
// leads to it. A document is always named beside its warrant, and a hold that a task
// asks (from_hold) is looked up when the task runs: before, that would be a way to
// find out which there are.
var Named = map[protoreflect.Name]func(s Scope, id string) (warrant.Warrant, bool){
	"warrant_id":       Scope.ofWarrant,
	"task_id":          Scope.ofTask,
	"corrects_task_id": Scope.ofTask,
	"hold_id":          Scope.ofHold,
}

func (s Scope) ofWarrant(id string) (warrant.Warrant, bool) { return s.State.Warrant(id) }

func (s Scope) ofTask(id string) (warrant.Warrant, bool) {
	_, w, ok := s.State.Task(id)
	return w, ok
}

func (s Scope) ofHold(id string) (warrant.Warrant, bool) {
	warrantID, ok := s.HoldOf(id)
	if !ok {
		return warrant.Warrant{}, false
	}
	return s.State.Warrant(warrantID)
}

// Check returns nil, or NOT_FOUND for a request that names what does not exist for its
// caller. The overseer is not asked where the rpc is one of theirs.
func (s Scope) Check(c auth.Caller, rule *griffierv1.Access, request proto.Message) error {
	if c.Has(griffierv1.Role_ROLE_OVERSEER) && allows(rule, griffierv1.Role_ROLE_OVERSEER) {
		return nil
	}
	by := callerOf(c)
	m := request.ProtoReflect()
	for name, leads := range Named {
		field := m.Descriptor().Fields().ByName(name)
		if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
			continue
		}
		id := m.Get(field).String()
		if id == "" { // the handler says that it is missing
			continue
		}
		if w, ok := leads(s, id); !ok || !by.Within(w) {
			return reason.New(reason.NotFound, "")
		}
	}
	return nil
}

// Within reports whether a warrant is of the caller's teams; one that is not known is of
// nobody's.
func (s Scope) Within(c auth.Caller, warrantID string) bool {
	w, ok := s.State.Warrant(warrantID)
	return ok && callerOf(c).Within(w)
}

func allows(rule *griffierv1.Access, role griffierv1.Role) bool {
	for _, r := range rule.GetRoles() {
		if r == role {
			return true
		}
	}
	return false
}
