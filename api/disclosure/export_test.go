package disclosure

// Value returns what the column shows of a record.
func (c Column) Value(r Record) string { return c.value(r) }
