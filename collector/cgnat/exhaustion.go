package cgnat

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Exhaustion counts flows that conntrack could not take, since boot. No event
// tells of them: they show only here.
type Exhaustion struct {
	InsertFailed uint64 // no free public port, or a clash
	Dropped      uint64 // no memory, or table full
	EarlyDropped uint64 // others that were removed to make room; their ends are told
}

// ReadExhaustion reads the counts of the network namespace of the calling thread.
func ReadExhaustion() (Exhaustion, error) {
	text, err := os.ReadFile("/proc/thread-self/net/stat/nf_conntrack")
	if err != nil {
		return Exhaustion{}, fmt.Errorf("conntrack statistics: %w", err)
	}
	return parseExhaustion(text)
}

// parseExhaustion sums the columns, hexadecimal and a line a CPU, by their names.
func parseExhaustion(text []byte) (e Exhaustion, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	if !lines.Scan() {
		return e, fmt.Errorf("conntrack statistics: empty")
	}
	names := strings.Fields(lines.Text())
	columns := map[int]*uint64{}
	for name, sum := range map[string]*uint64{"insert_failed": &e.InsertFailed, "drop": &e.Dropped, "early_drop": &e.EarlyDropped} {
		i := slices.Index(names, name)
		if i < 0 {
			return e, fmt.Errorf("conntrack statistics: no column %s", name)
		}
		columns[i] = sum
	}
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for i, sum := range columns {
			if i >= len(fields) {
				return e, fmt.Errorf("conntrack statistics: short line")
			}
			n, err := strconv.ParseUint(fields[i], 16, 64)
			if err != nil {
				return e, fmt.Errorf("conntrack statistics: not a number")
			}
			*sum += n
		}
	}
	return e, lines.Err()
}
