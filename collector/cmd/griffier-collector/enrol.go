package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"griffier/collector/config"
	"griffier/collector/enrol"
)

// enrolFlags are those of -enrol.
type enrolFlags struct {
	server    string // HOST:PORT, or https://HOST:PORT
	tokenFile string // - is standard input
	caFile    string
	caSHA256  string
}

// maxTokenBytes bounds a token file.
const maxTokenBytes = 4096

// enrolment exchanges a token for the collector's certificate.
func enrolment(ctx context.Context, f enrolFlags, c config.Config, stdin io.Reader, stdout io.Writer) error {
	r := enrol.Request{CollectorID: c.CollectorID}
	var err error
	if r.Server, err = enrol.ParseServer(f.server); err != nil {
		return fmt.Errorf("-enrol: %w", err)
	}
	if f.caFile != "" {
		r.Trust, err = enrol.TrustFile(f.caFile)
	} else {
		r.Trust, err = enrol.TrustFingerprint(f.caSHA256)
	}
	if err != nil {
		return err
	}
	if err := asOwner(c.Enrolment.Dir); err != nil {
		return err
	}
	if r.Token, err = readToken(f.tokenFile, stdin); err != nil {
		return err
	}
	i, err := c.Identity().Enrol(ctx, r, time.Now)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is enrolled at %s until %s; certificate and key are in %s\n",
		i.CollectorID, i.Server, i.Leaf().NotAfter.UTC().Format(time.RFC3339), filepath.Join(c.Enrolment.Dir, "current"))
	return err
}

// readToken reads the first word of a file that others cannot read.
func readToken(path string, stdin io.Reader) (string, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("token: %s: others may read it; run `chmod 600 %s`, and better make another token", path, path)
		}
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxTokenBytes))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	words := bytes.Fields(text)
	if len(words) != 1 {
		return "", fmt.Errorf("token: %s: want the token that `griffier collector token` printed, and nothing else", path)
	}
	return string(words[0]), nil
}

// asOwner refuses root where another owns the folder above: the collector could
// not read what root makes there.
func asOwner(dir string) error {
	info, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return fmt.Errorf("enrolment.dir: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && owner.Uid != 0 {
		return fmt.Errorf("enrolment.dir: %s belongs to user %d: run this as that user, with runuser -u NAME --", filepath.Dir(dir), owner.Uid)
	}
	return nil
}
