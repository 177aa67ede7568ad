package witness

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	fnote "github.com/transparency-dev/formats/note"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
)

// Client asks one witness about one log. It is safe for concurrent use.
type Client struct {
	peer   *peer.Client
	origin string
	name   string
	public string
}

// NewClient calls the witness at a URL that signs with the given public key.
func NewClient(base, publicKey, origin string, files peer.Files) (*Client, error) {
	p, err := peer.NewClient(base, files)
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	publicKey = strings.TrimSpace(publicKey)
	v, err := fnote.NewVerifierForCosignatureV1(publicKey)
	if err != nil {
		return nil, fmt.Errorf("witness: %s: public key: %w", base, err)
	}
	return &Client{peer: p, origin: origin, name: v.Name(), public: publicKey}, nil
}

// Name is the witness's, as in its key.
func (c *Client) Name() string { return "witness " + c.name }

// PublicKey is the witness's.
func (c *Client) PublicKey() string { return c.public }

// Close lets idle connections go.
func (c *Client) Close() { c.peer.Close() }

// Head gives the newest checkpoint that the witness remembers of the log; empty
// if it has none.
func (c *Client) Head(ctx context.Context) (string, error) {
	status, text, err := c.peer.Do(ctx, "checkpoint", url.Values{"origin": {c.origin}}, nil, maxRequestBytes)
	switch {
	case err != nil:
		return "", fmt.Errorf("witness: head: %w", err)
	case status == http.StatusNoContent:
		return "", nil
	case status != http.StatusOK:
		return "", fmt.Errorf("witness: head: %s answered %d", c.peer.Host(), status)
	}
	return string(text), nil
}

// ConflictError says that the witness's newest checkpoint is over another number of
// entries than was said, or, if over the same, has another root.
type ConflictError struct{ Size uint64 }

func (c *ConflictError) Error() string {
	return fmt.Sprintf("witness: it has signed a checkpoint over %d entries", c.Size)
}

// RefusedError says that the witness holds the checkpoint not to extend what it has
// signed, or not to be of a log that it knows.
type RefusedError struct {
	Status int
	Text   string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("witness: refused (%d): %s", e.Status, e.Text)
}

// AddCheckpoint has the witness sign a checkpoint that extends the one over old
// entries that it signed before, and gives the signature line, checked. Errors:
// *ConflictError, *RefusedError, or why it could not be asked.
func (c *Client) AddCheckpoint(ctx context.Context, old uint64, proof [][]byte, checkpoint string) (string, error) {
	body := addCheckpoint{old: old, proof: proof, checkpoint: checkpoint}.encode()
	status, text, err := c.peer.Do(ctx, "add-checkpoint", nil, strings.NewReader(body), maxRequestBytes)
	if err != nil {
		return "", fmt.Errorf("witness: add checkpoint: %w", err)
	}
	answer := string(text)
	switch status {
	case http.StatusOK:
	case http.StatusConflict:
		size, err := parseSize(strings.TrimSuffix(answer, "\n"))
		if err != nil {
			return "", fmt.Errorf("witness: add checkpoint: conflict: %w", err)
		}
		return "", &ConflictError{Size: size}
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity:
		return "", &RefusedError{Status: status, Text: beginning(answer)}
	default:
		return "", fmt.Errorf("witness: add checkpoint: %s answered %d", c.peer.Host(), status)
	}
	for line := range strings.Lines(answer) {
		signed, err := ledger.Cosigned{Checkpoint: checkpoint, Cosignatures: []string{line}}.Cosigners(c.public)
		if err != nil {
			return "", fmt.Errorf("witness: add checkpoint: %w", err)
		}
		if len(signed) == 1 {
			return line, nil
		}
	}
	return "", fmt.Errorf("witness: add checkpoint: %s answered without a signature by %s", c.peer.Host(), c.name)
}

// beginning bounds a foreign text, and keeps it on one line.
func beginning(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], "")
}
