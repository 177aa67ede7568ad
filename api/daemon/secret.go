package daemon

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// readSecret reads a file with a secret, without the blanks around it. One that others
// may read is refused.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: others may read it; run `chmod 600 %s`", path, path)
	}
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// readKey reads a key file: 64 hexadecimal digits.
func readKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("key file %s: want 64 hexadecimal digits", path)
	}
	return key, nil
}
