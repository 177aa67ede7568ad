package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Root writes into no folder of the service's user; that user does, and root into its own.
func TestRootKeepsOut(t *testing.T) {
	const other = 65534
	theirs := t.TempDir()
	uid := os.Geteuid()
	none := filepath.Join(t.TempDir(), "none")
	if uid == 0 {
		if err := ownedBy(0, none, theirs); err != nil {
			t.Errorf("root in its own: %v", err)
		}
		if err := os.Chown(theirs, other, other); err != nil {
			t.Fatal(err)
		}
	}
	if err := ownedBy(0, none, theirs); err == nil || !strings.Contains(err.Error(), theirs) || !strings.Contains(err.Error(), "runuser -u") {
		t.Errorf("root in another's folder: %v", err)
	}
	if err := ownedBy(other, none, theirs); err != nil {
		t.Errorf("another in that folder: %v", err)
	}
}
