package schema

// Class is a retention class: every stored row belongs to exactly one, and is
// readable only while its ended_at lies within the class's period.
type Class string

// Retention classes. Their periods are data (the table traffic.gate, loaded
// from the signed policy file), never code.
const (
	ClassSession    Class = "session"
	ClassAssignment Class = "assignment"
	ClassUsage5m    Class = "usage_5m"
	ClassUsageDay   Class = "usage_day"
	ClassCoverage   Class = "coverage"
	ClassAccessLog  Class = "access_log"
)

// Classes lists every class in the order that reports print them.
var Classes = []Class{ClassSession, ClassAssignment, ClassUsage5m, ClassUsageDay, ClassCoverage, ClassAccessLog}
