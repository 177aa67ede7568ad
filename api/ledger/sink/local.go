package sink

import "context"

// Local reads a store in this process as a [Client] reads one elsewhere.
type Local struct{ Store *Store }

// Head gives the checkpoint over all entries; empty if there are none.
func (l Local) Head(context.Context) (string, error) {
	_, checkpoint := l.Store.Head()
	return checkpoint, nil
}

// Entries gives entries from index from on, some at a time; none past the end.
func (l Local) Entries(_ context.Context, from uint64) ([][]byte, error) {
	return l.Store.Read(from, maxBatchEntries)
}
