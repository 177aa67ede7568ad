package datapath

import (
	"errors"
	"fmt"
	"time"

	"griffier/bpf"
)

// Unpin ends the counting of a collector that does not run: it takes the programs off
// the interfaces, reads the counters a last time, whatever size their maps have, hands
// the report to take, and when that returns nil (the report is durable) removes
// everything pinned. If take fails the counters stay, and a collector that starts goes
// on from them. Frames that pass after this began are not counted. It works in the
// network namespace of the calling thread. With nothing pinned it returns
// bpf.ErrNothingPinned.
//
// This is the way to another MaxSlots without losing what was counted since the last
// Drain.
func Unpin(pinDir string, now time.Time, take func(Report) error) error {
	acct, err := bpf.LoadPinned(pinDir)
	if err != nil {
		return fmt.Errorf("unpin: %w", err)
	}
	report, err := lastReport(acct, pinDir, now)
	if err == nil {
		err = take(report)
	}
	if err = errors.Join(err, acct.Close()); err != nil {
		return fmt.Errorf("unpin: %w", err)
	}
	if err := bpf.RemovePins(pinDir); err != nil {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}

func lastReport(acct *bpf.Accounting, pinDir string, now time.Time) (Report, error) {
	d, err := newDatapath(acct, Config{PinDir: pinDir})
	if err != nil {
		return Report{}, err
	}
	if err := d.resume(); err != nil {
		return Report{}, err
	}
	// No interface is attached by this process, so all are stale.
	if _, err := acct.DetachStale(); err != nil {
		return Report{}, err
	}
	if err := acct.Settle(); err != nil {
		return Report{}, err
	}
	return d.Drain(now)
}
