package disclosure

import (
	"fmt"
	"slices"

	"griffier/api/ledger"
)

// Receipt lies beside a package and proves that the ledger holds its result
// entry: the entry's index, the entry itself, the inclusion proof and the
// signed checkpoint. It cannot be inside the package, whose hash the entry
// holds.
type Receipt struct {
	Format        string       `json:"format"`
	TaskID        string       `json:"task_id"`
	PackageSHA256 string       `json:"package_sha256"`
	Result        ledger.Proof `json:"result"`
	// Timestamping says whether there is a token; Timestamp is one over the SHA-256 of
	// the checkpoint (RFC 3161).
	Timestamping string `json:"timestamping"`
	Timestamp    []byte `json:"timestamp,omitempty"`
}

// States of a receipt's time stamp.
const (
	TimestampToken  = "token"
	TimestampNone   = "no time-stamping authority is configured"
	TimestampMissed = "the time-stamping authority did not answer in time"
)

// NewReceipt returns receipt.json. token may be empty; state says why.
func NewReceipt(taskID, packageSHA256 string, result ledger.Proof, state string, token []byte) ([]byte, error) {
	return marshalIndented(Receipt{ReceiptFormat, taskID, packageSHA256, result, state, token})
}

const maxReceiptBytes = 1 << 20

// ParseReceipt reads receipt.json, to the byte as [NewReceipt] writes it.
func ParseReceipt(text []byte) (Receipt, error) {
	var r Receipt
	if len(text) > maxReceiptBytes {
		return r, fmt.Errorf("receipt: longer than %d bytes", maxReceiptBytes)
	}
	if err := unmarshalCanonical(text, &r); err != nil {
		return r, fmt.Errorf("receipt: %w", err)
	}
	if r.Format != ReceiptFormat {
		return r, fmt.Errorf("receipt: format is not %s", ReceiptFormat)
	}
	if !slices.Contains([]string{TimestampToken, TimestampNone, TimestampMissed}, r.Timestamping) || (r.Timestamping != TimestampToken && len(r.Timestamp) > 0) {
		return r, fmt.Errorf("receipt: it does not say whether it has a time stamp")
	}
	return r, nil
}
