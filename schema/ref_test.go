package schema

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testPseudonymiser(t testing.TB) (*Pseudonymiser, []byte) {
	t.Helper()
	key := []byte(strings.Repeat("k", KeyLength))
	p, err := NewPseudonymiser(key)
	if err != nil {
		t.Fatal(err)
	}
	return p, key
}

// TestRefIsTheDocumentedHMAC computes a reference by hand, so that a change of
// the form, which would orphan every stored row, is noticed.
func TestRefIsTheDocumentedHMAC(t *testing.T) {
	p, key := testPseudonymiser(t)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("10:access-ref11:radius-user17:alice@isp.example"))
	want := hex.EncodeToString(mac.Sum(nil)[:16])
	key[0] = 'x' // the caller's copy does not matter any more
	if got := p.Ref(Identifier{IdentRADIUSUser, "alice@isp.example"}).String(); got != want {
		t.Errorf("Ref = %s, want %s", got, want)
	}
	if p.ID("session", "a", "bc") == p.ID("session", "ab", "c") || p.ID("session", "a") == p.ID("assignment", "a") {
		t.Error("different names share an ID")
	}
}

func TestReadPseudonymKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for text, ok := range map[string]bool{
		strings.Repeat("0a", 32):        true,
		strings.Repeat("0A", 32) + "\n": true,
		strings.Repeat("0a", 31):        false,
		strings.Repeat("0a", 33):        false,
		strings.Repeat("zz", 32):        false,
		"":                              false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadPseudonymKey(path)
		if (err == nil) != ok {
			t.Errorf("key file %q: %v, want ok %v", text, err, ok)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if _, err := ReadPseudonymKey(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func FuzzParseIdentifier(f *testing.F) {
	for _, seed := range []string{"radius-user:alice@isp.example", "mac:eth0/1.2/aa:bb:cc:dd:ee:ff", "static-prefix:192.0.2.0/24", ":", "mac:", "x:y", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseIdentifier(text)
		if err != nil {
			if id != (Identifier{}) {
				t.Errorf("ParseIdentifier(%q) failed with a value", text)
			}
			return
		}
		if id.Value == "" || string(id.Kind)+":"+id.Value != text {
			t.Errorf("ParseIdentifier(%q) = %+v", text, id)
		}
	})
}

func FuzzUnmarshalAccessRef(f *testing.F) {
	for _, seed := range []string{strings.Repeat("0f", 16), strings.Repeat("0F", 16), "", "zz", strings.Repeat("0", 33)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var ref AccessRef
		if ref.UnmarshalText([]byte(text)) != nil {
			return
		}
		if !strings.EqualFold(ref.String(), text) {
			t.Errorf("%q reads as %s", text, ref)
		}
		out, err := json.Marshal(ref)
		var back AccessRef
		if err != nil || json.Unmarshal(out, &back) != nil || back != ref {
			t.Errorf("%s does not survive JSON: %s %v", ref, out, err)
		}
	})
}
