package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griffier/api/ledger/ledgertest"
)

// TestNothingIsReadThatIsSpeltOtherwise respells every text that the log is made of, so
// that it would still say the same to a lax reader, and wants it refused: no byte of
// evidence is without meaning.
func TestNothingIsReadThatIsSpeltOtherwise(t *testing.T) {
	b := filled(t, 3)
	for _, file := range []string{b.witness, filepath.Join(b.dir, checkpointPath), filepath.Join(b.dir, treeStatePath), filepath.Join(b.dir, versionPath)} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for how, altered := range ledgertest.Respellings(text) {
			if err := os.WriteFile(file, altered, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := b.verify(t); err == nil {
				t.Errorf("%s with %s verifies", filepath.Base(file), how)
			}
			l, err := Open(context.Background(), b.config())
			if err == nil {
				t.Errorf("%s with %s is opened", filepath.Base(file), how)
				l.Close()
			}
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.verify(t); err != nil {
		t.Fatalf("negative control: %v", err)
	}

	for i, leaf := range b.leaves(t, 3) {
		for how, altered := range ledgertest.Respellings(leaf) {
			if _, err := decodeEntry(uint64(i), altered); err == nil {
				t.Errorf("entry %d with %s is read", i, how)
			}
		}
		if _, err := decodeEntry(uint64(i), leaf); err != nil {
			t.Fatalf("negative control: %v", err)
		}
	}
}

// TestCheckpointsSpeltOtherwise does so with what comes from elsewhere: checkpoints,
// cosignatures and proofs.
func TestCheckpointsSpeltOtherwise(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	mustAppend(t, l, 0)
	mustAppend(t, l, 1)
	path := filepath.Join(t.TempDir(), "witness.key")
	if _, err := GenerateKey(path, "witness.example/w"); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewCosignerKey(strings.TrimSpace(string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	line, err := key.Cosign(l.Checkpoint(), l.LastAt())
	if err != nil {
		t.Fatal(err)
	}
	signed := Cosigned{Checkpoint: l.Checkpoint(), Cosignatures: []string{line}}
	if _, err := OpenCheckpoint(signed.Note(), l.PublicKey()); err != nil {
		t.Fatalf("negative control: %v", err)
	}
	if by, err := signed.Cosigners(key.Public); err != nil || len(by) != 1 {
		t.Fatalf("negative control: %v, %v", by, err)
	}
	for how, text := range ledgertest.Respellings([]byte(signed.Note())) {
		if _, err := OpenCheckpoint(string(text), l.PublicKey()); err == nil {
			t.Errorf("a checkpoint with %s is read", how)
		}
		if by, err := (Cosigned{Checkpoint: string(text)}).Cosigners(key.Public); err == nil {
			t.Errorf("cosignatures with %s are read: %v", how, by)
		}
	}
	for how, text := range ledgertest.Respellings([]byte(line)) {
		other := Cosigned{Checkpoint: signed.Checkpoint, Cosignatures: []string{string(text)}}
		if by, err := other.By(key.Public); err == nil {
			t.Errorf("a cosignature with %s is read: %v", how, by)
		}
	}
	p, err := l.Proof(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range ledgertest.Respellings([]byte(p.Checkpoint)) {
		other := p
		other.Checkpoint = string(text)
		if _, err := other.Verify(l.PublicKey()); err == nil {
			t.Errorf("a proof against a checkpoint with %s verifies", how)
		}
	}
	for how, text := range ledgertest.Respellings(p.Leaf) {
		other := p
		other.Leaf = text
		if _, err := other.Verify(l.PublicKey()); err == nil {
			t.Errorf("a proof of a leaf with %s verifies", how)
		}
	}
	if _, err := p.Verify(l.PublicKey()); err != nil {
		t.Fatalf("negative control: %v", err)
	}
}

// TestWitnessHalvesSpeltOtherwise looks at the file of a ledger that runs: a half that
// is not as it was written is none, and the other counts.
func TestWitnessHalvesSpeltOtherwise(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	mustAppend(t, l, 0)
	mustAppend(t, l, 1)
	data, err := os.ReadFile(b.witness)
	if err != nil || len(data) != 2*slotBytes {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	for i, record := range splitSlots(data) {
		whole, err := parseWitness(record, l.origin, l.verifiers)
		if err != nil {
			t.Fatal(err)
		}
		for how, text := range ledgertest.Respellings(record) {
			if _, err := parseWitness(text, l.origin, l.verifiers); err == nil {
				t.Errorf("half %d with %s is read", i, how)
			}
			if len(text) > slotBytes {
				continue
			}
			altered := append([]byte(nil), data...)
			clear(altered[i*slotBytes : (i+1)*slotBytes])
			copy(altered[i*slotBytes:], text)
			if bytes.Equal(altered, data) {
				continue // a zero more, where zeros follow
			}
			if h, err := newestOf(altered, l.origin, l.verifiers); err != nil || h.size == whole.size {
				t.Errorf("half %d with %s counts: %d, %v", i, how, h.size, err)
			}
		}
	}
	if _, err := newestOf(append(data, 0), l.origin, l.verifiers); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a byte more: %v", err)
	}
}

func FuzzParseProof(f *testing.F) {
	f.Add([]byte(`{"index":1,"leaf":"e30=","hashes":null,"checkpoint":"a\n"}`))
	f.Add([]byte(`{"index":1,"leaf":"e30=","hashes":["AA=="],"checkpoint":"","cosignatures":["— w AA==\n"]}`))
	f.Add([]byte(`{"index":1,"index":2,"leaf":"","hashes":[],"checkpoint":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q is read as %q", text, again)
		}
	})
}

func FuzzCheckCosigners(f *testing.F) {
	f.Add("a+00000000+BA==", "b")
	f.Add("dpo.isp.example/witness+7a1a6a5b+BHNvbWUga2V5IHRoYXQgaXMgMzIgYnl0ZXMgbG9uZy4u", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if CheckCosigners([]string{a, b, a}) == nil {
			t.Fatalf("%q twice", a)
		}
	})
}
