package seal

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"
)

// TestKeyWrapVectors are the vectors of RFC 3394 §4.
func TestKeyWrapVectors(t *testing.T) {
	for _, v := range []struct{ name, kek, key, wrapped string }{
		{"4.1", "000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"4.2", "000102030405060708090A0B0C0D0E0F1011121314151617", "00112233445566778899AABBCCDDEEFF", "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"},
		{"4.3", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF", "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{"4.4", "000102030405060708090A0B0C0D0E0F1011121314151617", "00112233445566778899AABBCCDDEEFF0001020304050607", "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"},
		{"4.5", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF0001020304050607",
			"A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"},
		{"4.6", "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		read := func(text string) []byte {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		wrapped, err := wrapKey(read(v.kek), read(v.key))
		if err != nil || !bytes.Equal(wrapped, read(v.wrapped)) {
			t.Errorf("%s: wrapped to %x, %v", v.name, wrapped, err)
		}
		key, err := unwrapKey(read(v.kek), read(v.wrapped))
		if err != nil || !bytes.Equal(key, read(v.key)) {
			t.Errorf("%s: unwrapped to %x, %v", v.name, key, err)
		}
	}
}

// TestKeyWrapAltered: under another key, or with any bit changed, nothing unwraps.
func TestKeyWrapAltered(t *testing.T) {
	kek := bytes.Repeat([]byte{7}, 32)
	wrapped, err := wrapKey(kek, bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(wrapped) {
		altered := bytes.Clone(wrapped)
		altered[bit/8] ^= 1 << (bit % 8)
		if _, err := unwrapKey(kek, altered); err == nil {
			t.Errorf("bit %d changed, and unwrapped", bit)
		}
	}
	if _, err := unwrapKey(bytes.Repeat([]byte{8}, 32), wrapped); err == nil {
		t.Error("another key unwraps it")
	}
	for _, n := range []int{0, 8, 16, 23, 25} {
		if _, err := unwrapKey(kek, make([]byte, n)); err == nil {
			t.Errorf("%d bytes unwrap", n)
		}
		if n < 16 || n%8 != 0 {
			if _, err := wrapKey(kek, make([]byte, n)); err == nil {
				t.Errorf("%d bytes are wrapped", n)
			}
		}
	}
	if _, err := wrapKey(make([]byte, 31), make([]byte, 32)); err == nil {
		t.Error("wrapped under what is no AES key")
	}
	rapid.Check(t, func(t *rapid.T) {
		kek := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "kek")
		key := rapid.SliceOfN(rapid.Byte(), 8*rapid.IntRange(2, 9).Draw(t, "blocks"), -1).Draw(t, "key")
		key = key[:len(key)/8*8]
		wrapped, err := wrapKey(kek, key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := unwrapKey(kek, wrapped); err != nil || !bytes.Equal(again, key) {
			t.Fatalf("%x, %v", again, err)
		}
	})
}
