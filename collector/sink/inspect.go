package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griffier/schema"
)

// InspectQuarantine calls visit with every row in the quarantine folder. It
// changes nothing. A file that cannot be read is an error, since what is in it is
// not known; one that goes meanwhile is passed over.
func InspectQuarantine(dir string, visit func(schema.Record)) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect quarantine: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), quarantineSuffix) {
			continue
		}
		_, records, err := readQuarantine(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("inspect quarantine: %w", err)
		}
		for _, r := range records {
			visit(r)
		}
	}
	return nil
}
