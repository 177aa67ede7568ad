package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteText prints a line for each check, with cause and cure below those that
// did not pass, and a last line with the count.
func (r Report) WriteText(w io.Writer) error {
	count := map[Status]int{}
	for _, f := range r.Findings {
		count[f.Status]++
		text := fmt.Sprintf("%-4s  %-21s %s\n", f.Status, f.Check, f.Found)
		if f.Status == Skip {
			text = fmt.Sprintf("%-4s  %-21s %s: %s\n", f.Status, f.Check, f.Found, f.Cause)
		} else if f.Status != Pass {
			text += fmt.Sprintf("        cause: %s\n        cure:  %s\n", f.Cause, f.Cure)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return fmt.Errorf("doctor: %w", err)
		}
	}
	_, err := fmt.Fprintf(w, "%d passed, %d warnings, %d failed, %d skipped\n", count[Pass], count[Warn], count[Fail], count[Skip])
	if err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	return nil
}

// WriteJSON prints the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	return nil
}
