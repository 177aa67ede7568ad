package sink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"griffier/api/ledger"
)

// Limits of a request.
const (
	maxBatchEntries    = 4096
	maxBatchBytes      = 4 << 20 // of entries, above which a batch is closed
	maxCheckpointBytes = 64 << 10
	maxRequestBytes    = 4 + maxCheckpointBytes + maxBatchBytes + 2 + ledger.MaxEntryBytes
)

// batch is the body of a request: a checkpoint over all entries up to and with
// these, its length before it in 4 bytes; then the entries, each with its length
// before it in 2 bytes, as in an entry bundle of C2SP tlog-tiles.
type batch struct {
	checkpoint string
	leaves     [][]byte
}

func (b batch) encode() []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b.checkpoint)))
	out = append(out, b.checkpoint...)
	return appendLeaves(out, b.leaves)
}

func appendLeaves(out []byte, leaves [][]byte) []byte {
	for _, leaf := range leaves {
		out = binary.BigEndian.AppendUint16(out, uint16(len(leaf))) // MaxEntryBytes fits
		out = append(out, leaf...)
	}
	return out
}

func parseBatch(body []byte) (batch, error) {
	if len(body) < 4 {
		return batch{}, errors.New("no checkpoint")
	}
	n := binary.BigEndian.Uint32(body)
	if n > maxCheckpointBytes || int(n) > len(body)-4 {
		return batch{}, fmt.Errorf("a checkpoint of %d bytes", n)
	}
	b := batch{checkpoint: string(body[4 : 4+n])}
	var err error
	b.leaves, err = parseLeaves(body[4+n:])
	return b, err
}

// parseLeaves splits entries; no copy is made.
func parseLeaves(body []byte) ([][]byte, error) {
	var leaves [][]byte
	for len(body) > 0 {
		if len(body) < 2 {
			return nil, errors.New("an entry's length is cut short")
		}
		n := int(binary.BigEndian.Uint16(body))
		if n == 0 || n > len(body)-2 {
			return nil, fmt.Errorf("an entry of %d bytes where %d follow", n, len(body)-2)
		}
		if len(leaves) == maxBatchEntries {
			return nil, fmt.Errorf("more than %d entries", maxBatchEntries)
		}
		leaves = append(leaves, body[2:2+n])
		body = body[2+n:]
	}
	return leaves, nil
}
