package signedfile

import (
	"errors"
	"fmt"

	"griffier/api/reason"
)

// Refusal is the error as a reason: POLICY_REFUSED, in which each problem is a
// violation of the place where it stands.
func (e *FileError) Refusal() *reason.Error {
	refusal := reason.New(reason.PolicyRefused, "")
	for _, p := range e.Problems {
		at := "file"
		if p.Line > 0 {
			at = fmt.Sprintf("file:%d:%d", p.Line, p.Column)
		}
		refusal.Violations = append(refusal.Violations, reason.Violation{Field: at, Description: p.What})
	}
	return refusal
}

// Refused returns [FileError.Refusal] for an error that is one, and any other as it
// is.
func Refused(err error) error {
	var wrong *FileError
	if errors.As(err, &wrong) {
		return wrong.Refusal()
	}
	return err
}
