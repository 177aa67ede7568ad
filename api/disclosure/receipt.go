package disclosure

import (
	"fmt"

	"griffier/api/ledger"
	"griffier/api/strictjson"
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
}

// NewReceipt returns receipt.json.
func NewReceipt(taskID, packageSHA256 string, result ledger.Proof) ([]byte, error) {
	return marshalIndented(Receipt{ReceiptFormat, taskID, packageSHA256, result})
}

const maxReceiptBytes = 1 << 20

// ParseReceipt reads receipt.json, strictly.
func ParseReceipt(text []byte) (Receipt, error) {
	var r Receipt
	if len(text) > maxReceiptBytes {
		return r, fmt.Errorf("receipt: longer than %d bytes", maxReceiptBytes)
	}
	if err := strictjson.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("receipt: %w", err)
	}
	if r.Format != ReceiptFormat {
		return r, fmt.Errorf("receipt: format is not %s", ReceiptFormat)
	}
	return r, nil
}
