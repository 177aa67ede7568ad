package replay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
)

// blockRecords is how many records are stored at a time.
const blockRecords = 50_000

// A Store puts records into the traffic store. A block's token is what is in
// it, so replaying a capture twice in the same way stores it once.
type Store struct {
	ctx   context.Context
	conn  driver.Conn
	queue []schema.Record
}

// NewStore returns a Store for the records of one replay. Close conn after Flush.
func NewStore(ctx context.Context, conn driver.Conn) *Store { return &Store{ctx: ctx, conn: conn} }

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
	content := sha256.New()
	if err := json.NewEncoder(content).Encode(records); err != nil {
		return fmt.Errorf("replay: store: %w", err)
	}
	if err := schema.Insert(s.ctx, s.conn, "replay-"+hex.EncodeToString(content.Sum(nil)), records); err != nil {
		return fmt.Errorf("replay: store: %w", err)
	}
	return nil
}
