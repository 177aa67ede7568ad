package signedfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrNotSigned is wrapped by the refusal of a file that no trusted key signed.
var ErrNotSigned = errors.New("no trusted key signed it")

// Trusted are the public keys whose signature puts a file in force.
type Trusted struct{ verifiers []note.Verifier }

// NewTrusted reads public keys, each NAME+HASH+BASE64 as keygen prints it.
func NewTrusted(keys []string) (Trusted, error) {
	var t Trusted
	for i, key := range keys {
		v, err := note.NewVerifier(strings.TrimSpace(key))
		if err != nil {
			return Trusted{}, fmt.Errorf("policy key %d: %w; want NAME+HASH+BASE64, as `griffier retention keygen` prints it", i+1, err)
		}
		t.verifiers = append(t.verifiers, v)
	}
	return t, nil
}

// maxKeys bounds a file of public keys, in bytes.
const maxKeys = 16 << 10

// ReadTrusted reads public keys from a file, one a line; empty lines and lines
// that begin with # are none. A file without a key is an error: with it no policy
// could be taken.
func ReadTrusted(path string) (Trusted, error) {
	f, err := os.Open(path)
	if err != nil {
		return Trusted{}, fmt.Errorf("policy keys: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err != nil {
		return Trusted{}, fmt.Errorf("policy keys: %w", err)
	}
	if len(text) > maxKeys {
		return Trusted{}, fmt.Errorf("policy keys: %s is longer than %d bytes", path, maxKeys)
	}
	var keys []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return Trusted{}, fmt.Errorf("policy keys: %s has no key: without one no policy can be taken", path)
	}
	t, err := NewTrusted(keys)
	if err != nil {
		return Trusted{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Verify returns the names of the trusted keys that signed the text of a file,
// joined by commas. A signature by a key that is not trusted is as good as none;
// one of a trusted key that does not fit the text spoils the file, whoever else
// signed it.
func (t Trusted) Verify(signed []byte) (signedBy string, err error) {
	n, err := note.Open(signed, note.VerifierList(t.verifiers...))
	var bad *note.InvalidSignatureError
	var none *note.UnverifiedNoteError
	switch {
	case errors.As(err, &bad):
		return "", fmt.Errorf("%w: the signature of %s is not of this text; sign it again after a change", ErrNotSigned, Clip(bad.Name))
	case errors.As(err, &none):
		var others []string
		for _, s := range none.Note.UnverifiedSigs {
			others = append(others, Clip(s.Name))
		}
		return "", fmt.Errorf("%w: signed by %s only", ErrNotSigned, strings.Join(others, ", "))
	case err != nil:
		return "", fmt.Errorf("%w: there is no signature below it, or it has control characters or a tab", ErrNotSigned)
	}
	if n.Text != string(Text(signed)) {
		return "", fmt.Errorf("%w: text and signatures cannot be told apart", ErrNotSigned)
	}
	var names []string
	for _, s := range n.Sigs {
		names = append(names, s.Name)
	}
	return strings.Join(names, ","), nil
}

// Has reports whether a key that signed a file, by the names that Verify
// returned, is still trusted: a proposal waits for weeks, in which a key may be
// taken back.
func (t Trusted) Has(signedBy string) bool {
	for name := range strings.SplitSeq(signedBy, ",") {
		if slices.ContainsFunc(t.verifiers, func(v note.Verifier) bool { return v.Name() == name }) {
			return true
		}
	}
	return false
}

// Sign returns a file signed by signer; check judges its text first. What it takes
// is the text with or without signatures: others' are kept as they are, since they
// cannot be checked here, unless the text changed under them, which griffierd
// will find; signer's own is made anew.
func Sign(file []byte, signer note.Signer, check func(text []byte) error) ([]byte, error) {
	text := Text(file)
	if err := check(text); err != nil {
		return nil, err
	}
	n := &note.Note{Text: string(text)}
	var none *note.UnverifiedNoteError
	if _, err := note.Open(file, note.VerifierList()); errors.As(err, &none) {
		for _, s := range none.Note.UnverifiedSigs {
			if s.Name != signer.Name() || s.Hash != signer.KeyHash() {
				n.UnverifiedSigs = append(n.UnverifiedSigs, s)
			}
		}
	}
	signed, err := note.Sign(n, signer)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if len(signed) > MaxFile {
		return nil, fmt.Errorf("sign: the file is longer than %d bytes", MaxFile)
	}
	return signed, nil
}

// Text returns a file without its signatures: all of it, where it has none.
func Text(file []byte) []byte {
	if i := bytes.LastIndex(file, []byte("\n\n")); i >= 0 && bytes.HasPrefix(file[i+2:], []byte("— ")) {
		file = file[:i+1]
	}
	if len(file) > 0 && !bytes.HasSuffix(file, []byte("\n")) {
		file = append(bytes.Clone(file), '\n')
	}
	return file
}
