package retention

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"griffier/api/signedfile"
)

// testKey makes a signing key and trusts it.
func testKey(t testing.TB, name string) (note.Signer, signedfile.Trusted) {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := signedfile.NewTrusted([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	return signer, trusted
}

// signed signs a text whatever it says, as a key in the wrong hands would.
func signed(t testing.TB, text string, signers ...note.Signer) []byte {
	t.Helper()
	out, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSignatures(t *testing.T) {
	text := []byte(profile(t, "nl"))
	lawyer, trusted := testKey(t, "test.example/lawyer")
	other, _ := testKey(t, "test.example/other")
	impostor, _ := testKey(t, "test.example/lawyer")
	good, err := Sign(text, lawyer)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Sign(good, lawyer)
	if err != nil || !bytes.Equal(again, good) {
		t.Errorf("signing it again: %v\n%s", err, again)
	}
	two, err := Sign(good, other)
	if err != nil || bytes.Count(two, []byte("\n— ")) != 2 {
		t.Errorf("two signatures: %v\n%s", err, two)
	}
	byOther, err := Sign(text, other)
	if err != nil {
		t.Fatal(err)
	}
	byImpostor, err := Sign(text, impostor)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(good, []byte("P14D"), []byte("P15D"), 1)
	last := bytes.TrimSuffix(good, []byte("\n"))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"good":                {good, ""},
		"two keys":            {two, ""},
		"unsigned":            {text, "there is no signature"},
		"another's":           {byOther, "signed by test.example/other only"},
		"a key of that name":  {byImpostor, "signed by test.example/lawyer only"},
		"edited":              {edited, "the signature of test.example/lawyer is not of this text"},
		"signature cut":       {last[:len(last)-20], "there is no signature"},
		"cut in the text":     {good[200:], "the signature of test.example/lawyer is not of this text"},
		"a line below":        {append(bytes.Clone(good), "zone: UTC\n"...), "there is no signature"},
		"a long tail":         {append(bytes.Clone(good), bytes.Repeat([]byte("#\n"), signedfile.MaxFile)...), "is longer than"},
		"a tab":               {bytes.Replace(good, []byte("# "), []byte("#\t"), 1), "1:2: there is a tab"},
		"empty":               {nil, "is empty"},
		"a signature alone":   {good[bytes.Index(good, []byte("\n\n— "))+2:], "there is no signature"},
		"text below a forged": {append(bytes.Clone(good), "\n"+string(good)...), "is not of this text"},
	} {
		f, err := Open("p.yaml", c.file, trusted)
		switch {
		case c.want == "" && (err != nil || !strings.Contains(f.SignedBy, "test.example/lawyer")):
			t.Errorf("%s: signed by %q, %v", name, f.SignedBy, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// No key is trusted: nothing is taken.
	if _, err := Open("p.yaml", good, signedfile.Trusted{}); err == nil {
		t.Error("taken without a trusted key")
	}
	// A signature does not change what the hash is of.
	a, errA := Open("", good, trusted)
	b, errB := Open("", two, trusted)
	c, errC := Parse(text)
	if errors.Join(errA, errB, errC) != nil || a.SHA256 != b.SHA256 || a.SHA256 != c.SHA256 {
		t.Errorf("hashes %s, %s, %s: %v", a.SHA256, b.SHA256, c.SHA256, errors.Join(errA, errB, errC))
	}
	// What is refused is not signed.
	if _, err := Sign([]byte("zone: UTC\n"), lawyer); err == nil {
		t.Error("a policy without classes was signed")
	}
	for _, key := range []string{"", "lawyer", "lawyer+00000000+AAAA"} {
		if _, err := signedfile.NewTrusted([]string{key}); err == nil {
			t.Errorf("%q is a key", key)
		}
	}
}

// FuzzOpen: nothing is taken that the key did not sign.
func FuzzOpen(f *testing.F) {
	signer, trusted := testKey(f, "test.example/lawyer")
	good, err := Sign([]byte(profile(f, "nl")), signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("a: b\n\n— test.example/lawyer AAAA\n"))
	f.Add(append(bytes.Clone(good), bytes.Repeat([]byte("#\n"), signedfile.MaxFile)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := Open("", file, trusted); err == nil && (!bytes.Equal(signedfile.Text(file), signedfile.Text(good)) || len(file) > signedfile.MaxFile) {
			t.Fatal("taken, and not signed")
		}
	})
}
