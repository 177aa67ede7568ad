package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"griffier/api/durable"
)

// syncsAlone does on the disk what the ledger does for each batch, and nothing else:
// bundle, tile and tree state are written beside and renamed, each with its folder
// synced, and the witness file is overwritten. It is what no ledger in these files can
// beat with batches of as many entries as there are writers.
func syncsAlone(dir string, leaf []byte) (ledgerPeer, error) {
	folder := filepath.Join(dir, "syncs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return ledgerPeer{}, err
	}
	witness := filepath.Join(folder, "witness")
	if err := durable.Write(witness, make([]byte, 8192)); err != nil {
		return ledgerPeer{}, err
	}
	const width = 256 // entries of a bundle
	made := 0
	batch := func(writers int) error {
		entries := made*writers%width + writers
		made++
		for _, f := range []struct {
			name  string
			bytes int
		}{
			{fmt.Sprintf("bundle-%d", made), entries * (2 + len(leaf))},
			{fmt.Sprintf("tile-%d", made), entries * 32},
			{"state", 100},
		} {
			if err := durable.Write(filepath.Join(folder, f.name), make([]byte, f.bytes)); err != nil {
				return err
			}
		}
		f, err := os.OpenFile(witness, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(make([]byte, 4096), int64(made%2)*4096)
		return errors.Join(err, f.Sync(), f.Close())
	}
	return ledgerPeer{name: "the syncs of its batches and nothing else", append: func(writers, entries int) (all []time.Duration, took time.Duration, err error) {
		start := time.Now()
		for range entries / writers {
			began := time.Now()
			if err := batch(writers); err != nil {
				return nil, 0, err
			}
			for range writers {
				all = append(all, time.Since(began))
			}
		}
		return all, time.Since(start), nil
	}}, nil
}
