package register

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"griffier/api/ledger"
)

// newBook is a real ledger in a folder of its own.
func newBook(t *testing.T, o *office) *ledger.Log {
	t.Helper()
	dir := t.TempDir()
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/register")
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: o.keys, Limit: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	return book
}
