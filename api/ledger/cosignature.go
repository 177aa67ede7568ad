package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// CosignerKey is the key of a witness: it signs that a checkpoint extends every
// other that it has signed of that log, and when (C2SP tlog-cosignature,
// cosignature/v1).
type CosignerKey struct {
	Name   string
	Public string // the verifier key; may be shown to anyone
	key    ed25519.PrivateKey
	hash   uint32
}

// NewCosignerKey makes the key of a witness from a note signing key, as
// GenerateKey writes it.
func NewCosignerKey(secret string) (*CosignerKey, error) {
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, errors.New("ledger: witness key: not a note signing key")
	}
	// PRIVATE+KEY+name+hash+base64(algorithm, seed); NewSigner has checked it all.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(secret, "+", 5)[4])
	if err != nil {
		return nil, errors.New("ledger: witness key: not an Ed25519 key")
	}
	key := ed25519.NewKeyFromSeed(seed[1:])
	plain, err := note.NewEd25519VerifierKey(signer.Name(), key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("ledger: witness key: %w", err)
	}
	public, err := fnote.VKeyToCosignatureV1(plain)
	if err != nil {
		return nil, fmt.Errorf("ledger: witness key: %w", err)
	}
	verifier, err := fnote.NewVerifierForCosignatureV1(public)
	if err != nil {
		return nil, fmt.Errorf("ledger: witness key: %w", err)
	}
	return &CosignerKey{Name: signer.Name(), Public: public, key: key, hash: verifier.KeyHash()}, nil
}

// Cosign signs a checkpoint and the time, in seconds, and gives the signature
// line with its newline. The checkpoint is a signed note, which is the caller's
// to have checked.
func (k *CosignerKey) Cosign(checkpoint string, at time.Time) (string, error) {
	text, _, ok := strings.Cut(checkpoint, "\n\n")
	if !ok || strings.Count(text, "\n") < 2 {
		return "", errors.New("ledger: cosign: not a checkpoint")
	}
	unix := uint64(at.Unix())
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s\n", unix, text)
	line := binary.BigEndian.AppendUint32(nil, k.hash)
	line = binary.BigEndian.AppendUint64(line, unix)
	line = append(line, ed25519.Sign(k.key, []byte(message))...)
	return fmt.Sprintf("— %s %s\n", k.Name, base64.StdEncoding.EncodeToString(line)), nil
}

// CheckCosigners refuses public keys of witnesses among which one party could be
// counted twice: by its name, or by its key under another name.
func CheckCosigners(publicKeys []string) error {
	seen := map[string]bool{}
	for _, public := range publicKeys {
		public = strings.TrimSpace(public)
		v, err := fnote.NewVerifierForCosignatureV1(public)
		if err != nil {
			return fmt.Errorf("ledger: witness key: %w", err)
		}
		// NAME+HASH+base64(algorithm, key); the algorithm says how the key signs.
		raw, err := base64.StdEncoding.Strict().DecodeString(strings.SplitN(public, "+", 3)[2])
		if err != nil || len(raw) < 2 {
			return fmt.Errorf("ledger: witness key of %s: not canonical base64", v.Name())
		}
		for _, is := range []string{"name " + v.Name(), "key " + string(raw[1:])} {
			if seen[is] {
				return fmt.Errorf("ledger: witness key of %s: the same witness twice", v.Name())
			}
			seen[is] = true
		}
	}
	return nil
}

// Cosignature is what one witness signed.
type Cosignature struct {
	Witness string    // name in its key
	At      time.Time // as the witness's clock had it, in seconds
}

// Cosigners checks which of the witnesses, by their public keys, signed the
// checkpoint. A line by another key is passed over; a line that says to be by one
// of them and is not is an error.
func (c Cosigned) Cosigners(publicKeys ...string) ([]Cosignature, error) {
	var verifiers []note.Verifier
	for _, public := range publicKeys {
		v, err := fnote.NewVerifierForCosignatureV1(strings.TrimSpace(public))
		if err != nil {
			return nil, fmt.Errorf("ledger: witness key: %w", err)
		}
		verifiers = append(verifiers, v)
	}
	if len(c.Note()) > maxNoteBytes {
		return nil, fmt.Errorf("ledger: cosigned checkpoint of %d bytes: at most %d", len(c.Note()), maxNoteBytes)
	}
	n, err := note.Open([]byte(c.Note()), note.VerifierList(verifiers...))
	var none *note.UnverifiedNoteError
	if errors.As(err, &none) {
		return nil, canonical([]byte(c.Note()), none.Note)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: cosignatures: %w", err)
	}
	if err := canonical([]byte(c.Note()), n); err != nil {
		return nil, fmt.Errorf("ledger: cosignatures: %w", err)
	}
	var signed []Cosignature
	for _, s := range n.Sigs {
		at, err := fnote.CoSigV1Timestamp(s)
		if err != nil {
			return nil, fmt.Errorf("ledger: cosignature by %s: %w", s.Name, err)
		}
		signed = append(signed, Cosignature{Witness: s.Name, At: at.UTC()})
	}
	return signed, nil
}

// By gives the checkpoint with the cosignatures of these witnesses only, each once.
// Error: a line that says to be by one of them and is not, or is not one line.
func (c Cosigned) By(publicKeys ...string) (Cosigned, error) {
	out := Cosigned{Checkpoint: c.Checkpoint}
	seen := map[string]bool{}
	for _, line := range c.Cosignatures {
		if strings.Count(line, "\n") != 1 {
			return Cosigned{}, errors.New("ledger: cosignatures: not one to a line")
		}
		signed, err := Cosigned{Checkpoint: c.Checkpoint, Cosignatures: []string{line}}.Cosigners(publicKeys...)
		if err != nil {
			return Cosigned{}, err
		}
		if len(signed) == 1 && !seen[signed[0].Witness] {
			seen[signed[0].Witness] = true
			out.Cosignatures = append(out.Cosignatures, line)
		}
	}
	return out, nil
}

// Cosigners is [Cosigned.Cosigners] of the checkpoint of a proof.
func (p Proof) Cosigners(publicKeys ...string) ([]Cosignature, error) {
	return Cosigned{Checkpoint: p.Checkpoint, Cosignatures: p.Cosignatures}.Cosigners(publicKeys...)
}
