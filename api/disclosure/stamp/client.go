package stamp

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"
)

// DefaultLimit bounds one request to a time-stamping authority.
const DefaultLimit = 10 * time.Second

// maxResponseBytes bounds what is read of an answer, and of a token.
const maxResponseBytes = 64 << 10

// Client asks one authority. It is safe for concurrent use.
type Client struct {
	URL   string
	Roots *x509.CertPool // what its certificate must lead to; a token that does not is refused
	Limit time.Duration  // zero: [DefaultLimit]
	Rand  io.Reader      // of nonces
	HTTP  *http.Client   // nil: the default
}

var (
	oidSHA256  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidTSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

// messageImprint, request and response are those of RFC 3161 §2.4.
type messageImprint struct {
	HashAlgorithm pkix.AlgorithmIdentifier
	HashedMessage []byte
}

type request struct {
	Version        int
	MessageImprint messageImprint
	Nonce          *big.Int
	CertReq        bool
}

type response struct {
	Status struct {
		Status       int
		StatusString asn1.RawValue  `asn1:"optional"`
		FailInfo     asn1.BitString `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// Stamp returns a token over a SHA-256 digest, verified as [Verify] does, and for
// this request's nonce. It does not try again: the caller decides what an
// authority that does not answer means.
func (c *Client) Stamp(ctx context.Context, digest [32]byte) ([]byte, error) {
	limit := c.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var random [16]byte
	if _, err := io.ReadFull(c.Rand, random[:]); err != nil {
		return nil, fmt.Errorf("time stamp: nonce: %w", err)
	}
	nonce := new(big.Int).SetBytes(random[:])
	query, err := asn1.Marshal(request{Version: 1, Nonce: nonce, CertReq: true,
		MessageImprint: messageImprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, digest[:]}})
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	reply, err := c.post(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	token, err := tokenOf(reply)
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	info, err := verify(token, digest, c.Roots)
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	if info.nonce == nil || info.nonce.Cmp(nonce) != 0 {
		return nil, errors.New("time stamp: the answer is to another request")
	}
	return token, nil
}

func (c *Client) post(ctx context.Context, query []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the authority answers %s", answer.Status)
	}
	reply, err := io.ReadAll(io.LimitReader(answer.Body, maxResponseBytes+1))
	if err != nil {
		return nil, err
	}
	if len(reply) > maxResponseBytes {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxResponseBytes)
	}
	return reply, nil
}

// tokenOf returns the token of a response that grants one.
func tokenOf(reply []byte) ([]byte, error) {
	var r response
	if rest, err := asn1.Unmarshal(reply, &r); err != nil || len(rest) > 0 {
		return nil, errors.New("the answer cannot be read")
	}
	if r.Status.Status != 0 && r.Status.Status != 1 { // granted, granted with modifications
		return nil, fmt.Errorf("the authority refuses, status %d", r.Status.Status)
	}
	if len(r.Token.FullBytes) == 0 {
		return nil, errors.New("the answer has no token")
	}
	return r.Token.FullBytes, nil
}
