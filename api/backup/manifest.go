package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"griffier/api/strictjson"
	"griffier/schema"
)

const (
	manifestVersion = 1
	manifestName    = "manifest.json"
	sealName        = "manifest.seal" // of the manifest, under the backup's key
	partialPrefix   = ".partial-"
	maxManifest     = 64 << 20
	ledgerPiece     = "ledger"
)

// Manifest says what a backup is made of.
type Manifest struct {
	Version      int       `json:"version"`
	ID           string    `json:"id"`
	MadeAt       time.Time `json:"made_at"`
	UnreadableBy time.Time `json:"unreadable_by"` // with every copy of its key
	Migrations   []string  `json:"migrations"`    // names and hashes
	LedgerSize   uint64    `json:"ledger_size"`
	// Checkpoint is the ledger's signed one of when the backup was begun.
	Checkpoint string  `json:"ledger_checkpoint"`
	DataKey    []byte  `json:"data_key"` // sealed under the keystore's key of the backup
	Pieces     []Piece `json:"pieces"`
}

// Piece is one sealed file of a backup: a table's parts, or the ledger.
type Piece struct {
	Name   string       `json:"name"` // of the table
	File   string       `json:"file"`
	SHA256 string       `json:"sha256"` // of the file
	Bytes  int64        `json:"bytes"`
	Parts  []string     `json:"parts,omitempty"`
	Class  schema.Class `json:"class,omitempty"`
	Days   []time.Time  `json:"days,omitempty"` // UTC days that the parts are of
}

// Bytes is the size of all pieces.
func (m Manifest) Bytes() (n uint64) {
	for _, p := range m.Pieces {
		n += uint64(p.Bytes)
	}
	return n
}

func keyID(id string) string { return "backup:" + id }

var (
	idForm   = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z[0-9a-f]{8}$`)
	partForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
	fileForm = regexp.MustCompile(`^[a-z0-9_.-]{1,128}$`)
)

// readManifest reads and checks the manifest of the backup in a folder.
func readManifest(dir string) (Manifest, []byte, error) {
	fail := func(err error) (Manifest, []byte, error) {
		return Manifest{}, nil, fmt.Errorf("backup manifest: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return fail(err)
	}
	m, err := parseManifest(text)
	if err != nil {
		return fail(err)
	}
	return m, text, nil
}

func parseManifest(text []byte) (Manifest, error) {
	if len(text) > maxManifest {
		return Manifest{}, fmt.Errorf("longer than %d bytes", maxManifest)
	}
	var m Manifest
	if err := strictjson.Unmarshal(text, &m); err != nil {
		return Manifest{}, err
	}
	if m.Version != manifestVersion {
		return Manifest{}, fmt.Errorf("version %d: this program knows %d", m.Version, manifestVersion)
	}
	if !idForm.MatchString(m.ID) {
		return Manifest{}, errors.New("the id is none")
	}
	seen := map[string]bool{}
	for _, p := range m.Pieces {
		if !fileForm.MatchString(p.File) || strings.HasPrefix(p.File, ".") || seen[p.File] || p.Bytes < 0 {
			return Manifest{}, errors.New("a piece has no proper file")
		}
		seen[p.File] = true
		for _, part := range p.Parts {
			if !partForm.MatchString(part) {
				return Manifest{}, errors.New("a part has no proper name")
			}
		}
	}
	return m, nil
}

// Folders returns the folders of complete backups under dir, newest first.
func Folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("backups: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && idForm.MatchString(e.Name()) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(out)))
	return out, nil
}

// daysOf lists the days that parts are of, in order.
func daysOf(parts []string) []time.Time {
	seen := map[time.Time]bool{}
	var out []time.Time
	for _, p := range parts {
		if day, ok := schema.PartDay(p); ok && !seen[day] {
			seen[day] = true
			out = append(out, day)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Before(out[j]) })
	return out
}
