package witness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of a request (C2SP tlog-witness; a proof in a tree of 2^63 has 63 lines).
const (
	maxRequestBytes = 64 << 10
	maxProofLines   = 63
)

// addCheckpoint is the body of a request to cosign a checkpoint.
type addCheckpoint struct {
	old        uint64   // entries of the newest checkpoint that the witness has signed
	proof      [][]byte // from there to the new one (RFC 6962 §2.1.2)
	checkpoint string
}

// encode gives the body.
func (a addCheckpoint) encode() string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", a.old)
	for _, h := range a.proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h) + "\n")
	}
	return b.String() + "\n" + a.checkpoint
}

// parseAddCheckpoint is strict: numbers and base64 have one form each.
func parseAddCheckpoint(body string) (addCheckpoint, error) {
	if len(body) > maxRequestBytes {
		return addCheckpoint{}, fmt.Errorf("more than %d bytes", maxRequestBytes)
	}
	head, checkpoint, ok := strings.Cut(body, "\n\n")
	if !ok || checkpoint == "" {
		return addCheckpoint{}, errors.New("no empty line before a checkpoint")
	}
	lines := strings.Split(head, "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	if !ok {
		return addCheckpoint{}, errors.New("the first line is not the old size")
	}
	a := addCheckpoint{checkpoint: checkpoint}
	var err error
	if a.old, err = parseSize(size); err != nil {
		return addCheckpoint{}, err
	}
	if len(lines)-1 > maxProofLines {
		return addCheckpoint{}, fmt.Errorf("a proof of more than %d lines", maxProofLines)
	}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != 32 || base64.StdEncoding.EncodeToString(h) != line {
			return addCheckpoint{}, errors.New("a proof line is not the base64 of a hash")
		}
		a.proof = append(a.proof, h)
	}
	return a, nil
}

// parseSize reads a size: decimal, no sign, no leading zero.
func parseSize(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, errors.New("a size is not a decimal number below 2^63")
	}
	return n, nil
}
