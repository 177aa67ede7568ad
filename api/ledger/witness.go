package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"griffier/api/durable"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// head is a tree head: how many entries, and the Merkle root over them.
type head struct {
	size uint64
	root []byte
}

// witnessFile is a record of the witness file, and all of it when the ledger was
// closed: the head of the newest
// acknowledged entry, in clear for the reader and as a signed checkpoint.
type witnessFile struct {
	Size       uint64 `json:"size"`
	Root       []byte `json:"root"`
	Checkpoint string `json:"checkpoint"`
}

// maxNoteBytes bounds a checkpoint with its signatures, and the witness file.
const maxNoteBytes = 64 << 10

// signHead makes the signed checkpoint of a head (C2SP tlog-checkpoint).
func signHead(h head, origin string, signer note.Signer) (string, error) {
	text := log.Checkpoint{Origin: origin, Size: h.size, Hash: h.root}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	return string(signed), err
}

// openHead checks a signed checkpoint and gives its head. The note format
// tolerates signatures of unknown keys and spare bits in base64; here they are
// errors, so that no byte of a stored checkpoint can change unnoticed.
func openHead(signed []byte, verifiers note.Verifiers) (head, string, error) {
	n, err := note.Open(signed, verifiers)
	if err != nil {
		return head{}, "", fmt.Errorf("checkpoint: %w", err)
	}
	if len(n.UnverifiedSigs) > 0 {
		return head{}, "", errors.New("checkpoint: a signature by an unknown key")
	}
	if err := canonical(signed, n); err != nil {
		return head{}, "", err
	}
	var cp log.Checkpoint
	rest, err := cp.Unmarshal([]byte(n.Text))
	if err != nil {
		return head{}, "", fmt.Errorf("checkpoint: %w", err)
	}
	if len(rest) > 0 {
		return head{}, "", errors.New("checkpoint: lines after the root")
	}
	return head{size: cp.Size, root: cp.Hash}, cp.Origin, nil
}

// canonical refuses a note, opened as n, in which a signature is written with spare
// bits in its base64, or that has two lines of one key, of which [note.Open] looks at
// the first only: other texts of the same signatures.
func canonical(signed []byte, n *note.Note) error {
	sigs := slices.Concat(n.Sigs, n.UnverifiedSigs)
	lines := bytes.Count(signed, []byte("\n")) - strings.Count(n.Text, "\n") - 1
	for i, s := range sigs {
		raw, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != s.Base64 {
			return errors.New("checkpoint: signature not in canonical form")
		}
		twice := func(o note.Signature) bool { return o.Name == s.Name && o.Hash == s.Hash }
		if lines != len(sigs) || slices.ContainsFunc(sigs[:i], twice) {
			return errors.New("checkpoint: two signatures of one key")
		}
	}
	return nil
}

// writeWitness records a head with its checkpoint.
func writeWitness(path string, h head, checkpoint string) error {
	data, err := marshal(witnessFile{Size: h.size, Root: h.root, Checkpoint: checkpoint})
	if err != nil {
		return err
	}
	return durable.Write(path, append(data, '\n'))
}

// readWitness gives the recorded head: of two, the newer. Errors: os.ErrNotExist,
// or why the file cannot be trusted. The file of a running ledger is read again
// when both of its halves were caught while they were written.
func readWitness(path, origin string, verifiers note.Verifiers) (h head, err error) {
	for range witnessReads {
		var data []byte
		if data, err = readLimited(path, maxNoteBytes); err != nil {
			return head{}, err
		}
		if h, err = newestOf(data, origin, verifiers); err == nil || len(data) != 2*slotBytes {
			break
		}
		time.Sleep(witnessPause / 10)
	}
	return h, err
}

const witnessReads = 3

// newestOf gives the newest head in a witness file.
func newestOf(data []byte, origin string, verifiers note.Verifiers) (head, error) {
	newest, failed := head{}, errors.New("witness: no head in it")
	for _, record := range splitSlots(data) {
		h, err := parseWitness(record, origin, verifiers)
		switch {
		case err != nil && newest.root == nil:
			failed = err
		case err == nil && (newest.root == nil || h.size > newest.size):
			newest, failed = h, nil
		}
	}
	return newest, failed
}

// parseWitness reads one record.
func parseWitness(data []byte, origin string, verifiers note.Verifiers) (head, error) {
	var w witnessFile
	if err := json.Unmarshal(data, &w); err != nil {
		return head{}, fmt.Errorf("witness: %w", err)
	}
	if again, err := marshal(w); err != nil || !bytes.Equal(append(again, '\n'), data) {
		return head{}, errors.New("witness: not as it was written")
	}
	h, name, err := openHead([]byte(w.Checkpoint), verifiers)
	if err != nil {
		return head{}, fmt.Errorf("witness: %w", err)
	}
	if name != origin {
		return head{}, errors.New("witness: checkpoint of another log")
	}
	if h.size != w.Size || !bytes.Equal(h.root, w.Root) {
		return head{}, errors.New("witness: size or root is not that of its checkpoint")
	}
	return h, nil
}

// compareWitness holds the witness file against the log. rootAt gives the root
// of the log's first n entries, n at most its size.
func compareWitness(path string, recorded head, readErr error, size uint64, rootAt func(uint64) []byte) *WitnessError {
	e := &WitnessError{LogSize: size, File: path, WitnessSize: recorded.size}
	switch {
	case errors.Is(readErr, os.ErrNotExist):
		if size == 0 {
			return nil // a new log
		}
		e.Cause = WitnessMissing
	case readErr != nil:
		e.Cause, e.Detail = WitnessUnreadable, readErr
	case recorded.size > size:
		e.Cause = WitnessRegress
	case !bytes.Equal(rootAt(recorded.size), recorded.root):
		e.Cause = WitnessMismatch
	default:
		return nil
	}
	return e
}
