// Package register keeps who a line belongs to, apart from what the line did:
// lines with the pseudonyms that the traffic store knows them by, persons
// (encrypted, one key each) and the address ranges of the ISP and its resellers.
//
// The traffic store never holds a line id or a name; this register never holds
// traffic. Only the disclosure executor reads both.
package register

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/cgnat"
)

// ErrUnknownLine is returned for a line that does not exist or, to a customer,
// is not theirs: the two cannot be told apart.
var ErrUnknownLine = errors.New("no such line")

// ErrErased is returned for the person of a line whose key was destroyed. The
// line id cannot be used again.
var ErrErased = errors.New("person erased")

// vault seals persons, each under a key of its own ([keystore.Store]).
type vault interface {
	Ensure(id string) error
	Seal(id string, plaintext, aad []byte) ([]byte, error)
	Open(id string, ciphertext, aad []byte) ([]byte, error)
	Shred(id string) error
	List() ([]string, error)
}

// Register reads and writes the register. It is safe for concurrent use.
type Register struct {
	conn       driver.Conn
	vault      vault
	pseudonyms *schema.Pseudonymiser
	blindKey   []byte
	now        func() time.Time
}

// Config holds what a [Register] needs.
type Config struct {
	Conn       driver.Conn
	Vault      vault
	Pseudonyms *schema.Pseudonymiser // the collectors' own key
	BlindKey   []byte                // of the blind index; at least 32 bytes
	Now        func() time.Time
}

// New returns a register.
func New(cfg Config) (*Register, error) {
	if len(cfg.BlindKey) < sha256.Size {
		return nil, fmt.Errorf("register: blind index key has %d bytes, want at least %d", len(cfg.BlindKey), sha256.Size)
	}
	return &Register{cfg.Conn, cfg.Vault, cfg.Pseudonyms, cfg.BlindKey, cfg.Now}, nil
}

// Line is what a customer has.
type Line struct {
	LineID        string
	AccountID     string
	TimeZone      string // IANA name
	BillingDay    int    // 1 to 31; in a shorter month its last day
	ContractStart time.Time
	ContractEnd   time.Time // schema.Forever while it runs
}

// Identifier is an access identifier of a line during [ValidFrom, ValidTo).
type Identifier struct {
	schema.Identifier
	ValidFrom, ValidTo time.Time
}

// Held is a pseudonym of a line during [ValidFrom, ValidTo).
type Held struct {
	LineID             string
	Ref                schema.AccessRef
	ValidFrom, ValidTo time.Time
}

// Range is a prefix of the ISP, or one that another provider uses.
type Range struct {
	Prefix             netip.Prefix
	Provider           string // empty: our own
	CollectorIDs       []string
	ValidFrom, ValidTo time.Time
	Translation        cgnat.Parameters // who has which ports; none if its algorithm is
}

// PostalAddress is where something is.
type PostalAddress struct {
	Street      string `json:"street"`
	HouseNumber string `json:"house_number"`
	Postcode    string `json:"postcode"`
	Town        string `json:"town"`
	Country     string `json:"country"`
}

// Person is who a line belongs to. The billing address is never a fallback for
// the installation address (IPCO 2019, error 8).
type Person struct {
	Name                string        `json:"name"`
	InstallationAddress PostalAddress `json:"installation_address"`
	BillingAddress      PostalAddress `json:"billing_address"`
}

// version returns the version of a rewrite of the rows of table that where
// selects; the highest counts. It is the time, but always above what is stored,
// so that a clock that was set back loses no change.
func (r *Register) version(ctx context.Context, table, where string, args ...any) (uint64, error) {
	var newest uint64
	if err := r.conn.QueryRow(ctx, "SELECT max(version) FROM "+table+" WHERE "+where, args...).Scan(&newest); err != nil {
		return 0, fmt.Errorf("read version of %s: %w", table, err)
	}
	return max(newest+1, uint64(r.now().UnixNano())), nil
}

func (r *Register) blind(domain, value string) []byte {
	mac := hmac.New(sha256.New, r.blindKey)
	fmt.Fprintf(mac, "%s:%s", domain, value)
	return mac.Sum(nil)[:16]
}

// insert writes rows of one table as one block and waits until they are durable.
func (r *Register) insert(ctx context.Context, table string, rows ...[]any) error {
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	for _, row := range rows {
		if err := batch.Append(row...); err != nil {
			batch.Abort()
			return fmt.Errorf("write %s: %w", table, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	return nil
}
