package seal

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// wrapIV is the initial value of RFC 3394 §2.2.3.1, by which unwrapping tells a wrong
// key.
var wrapIV = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

var errWrapped = errors.New("the key does not unwrap")

// wrapKey wraps a key under another by AES Key Wrap (RFC 3394 §2.2.1). The key is of
// 16 bytes or more, in whole blocks of eight; the other is an AES key.
func wrapKey(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil || len(key) < 16 || len(key)%8 != 0 {
		return nil, errors.New("wrap key: want an AES key, and a key of 16 bytes or more in blocks of eight")
	}
	n := len(key) / 8
	out := make([]byte, 8+len(key))
	copy(out[8:], key)
	b := [aes.BlockSize]byte(append(wrapIV[:], 0, 0, 0, 0, 0, 0, 0, 0))
	for t := range 6 * n {
		r := out[8+8*(t%n):][:8]
		copy(b[8:], r)
		block.Encrypt(b[:], b[:])
		copy(r, b[8:])
		count(&b, t+1)
	}
	copy(out, b[:8])
	return out, nil
}

// unwrapKey undoes wrapKey (RFC 3394 §2.2.2). A wrong key, or what was altered, is an
// error.
func unwrapKey(kek, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped) < 24 || len(wrapped)%8 != 0 {
		return nil, errWrapped
	}
	n := len(wrapped)/8 - 1
	key := append([]byte(nil), wrapped[8:]...)
	var b [aes.BlockSize]byte
	copy(b[:8], wrapped)
	for t := 6*n - 1; t >= 0; t-- {
		r := key[8*(t%n):][:8]
		count(&b, t+1)
		copy(b[8:], r)
		block.Decrypt(b[:], b[:])
		copy(r, b[8:])
	}
	if subtle.ConstantTimeCompare(b[:8], wrapIV[:]) != 1 {
		return nil, errWrapped
	}
	return key, nil
}

// count mixes the number of a step into the first half of a block.
func count(b *[aes.BlockSize]byte, t int) {
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])^uint64(t))
}
