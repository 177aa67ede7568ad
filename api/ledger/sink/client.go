package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"griffier/api/ledger/peer"
)

// Client calls the server of a copy. It is safe for concurrent use.
type Client struct{ peer *peer.Client }

// NewClient calls the sink at a URL.
func NewClient(base string, files peer.Files) (*Client, error) {
	p, err := peer.NewClient(base, files)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return &Client{peer: p}, nil
}

// Name says who it is, for messages.
func (c *Client) Name() string { return "second sink " + c.peer.Host() }

// Close lets idle connections go.
func (c *Client) Close() { c.peer.Close() }

// Head gives the checkpoint over all that the sink has; empty if it has nothing.
func (c *Client) Head(ctx context.Context) (string, error) {
	status, text, err := c.peer.Do(ctx, "checkpoint", nil, nil, maxCheckpointBytes)
	switch {
	case err != nil:
		return "", fmt.Errorf("sink: head: %w", err)
	case status == http.StatusNoContent:
		return "", nil
	case status != http.StatusOK:
		return "", fmt.Errorf("sink: head: %s answered %d", c.peer.Host(), status)
	}
	return string(text), nil
}

// Append sends entries from index from on, with a checkpoint over all up to and
// with them. Errors: *BehindError, ErrRefused, or why it could not be asked.
func (c *Client) Append(ctx context.Context, from uint64, leaves [][]byte, checkpoint string) error {
	body := batch{checkpoint: checkpoint, leaves: leaves}.encode()
	status, text, err := c.peer.Do(ctx, "entries", url.Values{"from": {strconv.FormatUint(from, 10)}}, bytes.NewReader(body), maxCheckpointBytes)
	if err != nil {
		return fmt.Errorf("sink: append: %w", err)
	}
	switch status {
	case http.StatusOK, http.StatusConflict:
		size, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 63)
		if err != nil {
			return errors.New("sink: append: the answer is not a size")
		}
		if status == http.StatusConflict || size < from+uint64(len(leaves)) {
			return &BehindError{Size: size}
		}
		return nil
	case http.StatusUnprocessableEntity:
		return ErrRefused
	}
	return fmt.Errorf("sink: append: %s answered %d", c.peer.Host(), status)
}

// Entries gives entries from index from on, some at a time; none past the end.
func (c *Client) Entries(ctx context.Context, from uint64) ([][]byte, error) {
	query := url.Values{"from": {strconv.FormatUint(from, 10)}, "n": {strconv.Itoa(maxBatchEntries)}}
	status, body, err := c.peer.Do(ctx, "entries", query, nil, maxRequestBytes)
	if err != nil {
		return nil, fmt.Errorf("sink: entries: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("sink: entries: %s answered %d", c.peer.Host(), status)
	}
	leaves, err := parseLeaves(body)
	if err != nil {
		return nil, fmt.Errorf("sink: entries: %w", err)
	}
	return leaves, nil
}
