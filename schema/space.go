package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ErrNoSpace is wrapped by the error of what failed because the store's disk is
// full. Nothing of it is visible; it may be repeated once there is room.
var ErrNoSpace = errors.New("the store's disk is full; free some of it, or give it a larger one")

// notEnoughSpace is the store's code for a write that it will not begin.
const notEnoughSpace = 243

// spaceError recognises a full disk: the store's own refusal to begin, or the
// operating system's ENOSPC, of which the store has only a text.
func spaceError(err error) error {
	if err == nil {
		return nil
	}
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok && exception.Code == notEnoughSpace || strings.Contains(err.Error(), "No space left on device") {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
