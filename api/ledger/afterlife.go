package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"time"
)

// Tessera's goroutines end some time after their context: the one that publishes
// checkpoints, say, when it has published one. Tessera does not tell when. But a
// goroutine inherits the profiler labels of the one that started it, so a label of
// the log's own finds them all.

// labelName is of the label that tessera's goroutines have; its value is one log's.
const labelName = "griffier.ledger"

var labels atomic.Uint64

// labelled runs start, all of whose goroutines will have a label that is returned.
func labelled(start func()) string {
	label := strconv.FormatUint(labels.Add(1), 10)
	pprof.Do(context.Background(), pprof.Labels(labelName, label), func(context.Context) { start() })
	return label
}

// running says whether there is a goroutine with the label.
func running(label string) (bool, error) {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return false, err
	}
	return bytes.Contains(text.Bytes(), fmt.Appendf(nil, "%q:%q", labelName, label)), nil
}

// endPause is between two looks at the goroutines.
const endPause = time.Millisecond

// awaitEnd waits until no goroutine has the label, for limit at most.
func awaitEnd(label string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(endPause) {
		goesOn, err := running(label)
		if err != nil || !goesOn {
			return err
		}
		if time.Now().After(end) {
			return errors.New("tessera goes on writing")
		}
	}
}
