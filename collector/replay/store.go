package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
)

// blockRecords is how many records are stored at a time.
const blockRecords = 50_000

// A Store puts records into the traffic store. The same replay gives the same
// blocks under the same tokens, so replaying a capture twice stores it once.
type Store struct {
	ctx   context.Context
	conn  driver.Conn
	name  string
	block int
	queue []schema.Record
}

// NewStore returns a Store for the records of one replay. Close conn after Flush.
func NewStore(ctx context.Context, conn driver.Conn, o Options) (*Store, error) {
	f, err := os.Open(o.Path)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	fmt.Fprintf(h, "|%s|%d|%v", o.CollectorID, o.EndsAt.UnixNano(), o.ReemitInterval)
	return &Store{ctx: ctx, conn: conn, name: "replay-" + hex.EncodeToString(h.Sum(nil))}, nil
}

// Write queues records and stores full blocks.
func (s *Store) Write(records []schema.Record) error {
	s.queue = append(s.queue, records...)
	for len(s.queue) >= blockRecords {
		if err := s.insert(s.queue[:blockRecords]); err != nil {
			return err
		}
		s.queue = s.queue[blockRecords:]
	}
	return nil
}

// Flush stores what is queued.
func (s *Store) Flush() error {
	if len(s.queue) == 0 {
		return nil
	}
	queue := s.queue
	s.queue = nil
	return s.insert(queue)
}

func (s *Store) insert(records []schema.Record) error {
	s.block++
	if err := schema.Insert(s.ctx, s.conn, s.name+"-"+strconv.Itoa(s.block), records); err != nil {
		return fmt.Errorf("replay: store: %w", err)
	}
	return nil
}
