package enrol

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// nextKey returns the key of what is asked for next. It is made once, and is
// durable before it is returned.
func (f Folder) nextKey() (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(f.path(nextKeyFile))
	if err == nil {
		key, err := parseKey(text)
		if err == nil && !f.inUse(key) {
			return key, nil
		}
		// Torn by nothing of ours, or left by a crash after its certificate was
		// installed: another one does.
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: make a key: %w", err)
	}
	text, err = formatKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := f.replace(nextKeyFile, text); err != nil {
		return nil, err
	}
	return key, nil
}

// inUse tells whether a key is that of the certificate in force.
func (f Folder) inUse(key *ecdsa.PrivateKey) bool {
	i, err := f.Load()
	return err == nil && key.PublicKey.Equal(i.Leaf().PublicKey)
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not a key of ours")
	}
	return k, nil
}

func formatKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// answer is what griffierd gave for the next key.
type answer struct {
	collectorID string
	server      string
	tokenID     string   // of an enrolment
	authority   []byte   // PEM
	certificate []byte   // DER
	issuers     [][]byte // DER
}

// check tells what is wrong with an answer; nothing is installed that this
// collector could not use.
func (a answer) check(key *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(a.certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate from griffierd: %w", err)
	}
	id, err := collectorID(cert)
	if err != nil || id != a.collectorID {
		return nil, errors.New("certificate from griffierd: is another collector's")
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("certificate from griffierd: is for another key")
	}
	roots := x509.NewCertPool()
	for _, der := range a.issuers {
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate from griffierd: its issuer: %w", err)
		}
		roots.AddCert(issuer)
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil, fmt.Errorf("certificate from griffierd: %w; look at this host's clock", err)
	}
	return cert, nil
}

// install makes an answer to the next key the identity, all of it at once.
func (f Folder) install(a answer, key *ecdsa.PrivateKey, now time.Time) (*Identity, error) {
	cert, err := a.check(key, now)
	if err != nil {
		return nil, err
	}
	keyText, err := formatKey(key)
	if err != nil {
		return nil, err
	}
	name := folderPrefix + cert.SerialNumber.Text(16)
	before, _ := os.Readlink(f.path(currentLink))
	if before == name {
		return f.Load()
	}
	if err := os.RemoveAll(f.path(name)); err != nil { // what a crash left half done
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := os.Mkdir(f.path(name), 0o700); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	in := Folder(f.path(name))
	for file, text := range map[string][]byte{
		certFile: certificates(a.certificate), keyFile: keyText, issuersFile: certificates(a.issuers...),
		authorityFile: a.authority, serverFile: []byte(a.server + "\n"), tokenFile: []byte(a.tokenID + "\n"),
	} {
		if err := in.replace(file, text); err != nil {
			return nil, err
		}
	}
	link := f.path(currentLink + ".new")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := os.Symlink(name, link); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := os.Rename(link, f.path(currentLink)); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := syncFolder(string(f)); err != nil {
		return nil, err
	}
	f.tidy(name, before)
	return f.Load()
}

func certificates(chain ...[]byte) (text []byte) {
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

// tidy removes the key that was next, and certificates but the one in force and
// the one before it, which somebody may be reading.
func (f Folder) tidy(keep ...string) {
	os.Remove(f.path(nextKeyFile)) // if it stays, the next request finds it in use
	entries, _ := os.ReadDir(string(f))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), folderPrefix) && e.Name() != keep[0] && e.Name() != keep[1] {
			os.RemoveAll(f.path(e.Name()))
		}
	}
}

// replace writes a file of mode 0600 durably, whole or not at all.
func (f Folder) replace(name string, text []byte) error {
	temporary := f.path(name + ".new")
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(0o600), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, f.path(name))
	}
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return syncFolder(filepath.Dir(f.path(name)))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}
