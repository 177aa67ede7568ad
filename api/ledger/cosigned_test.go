package ledger

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestKeepBest holds what is kept of all cosigned checkpoints against all of them.
func TestKeepBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept, all []keptCosigned
		for range rapid.IntRange(1, 30).Draw(t, "checkpoints") {
			c := keptCosigned{head: head{size: rapid.Uint64Range(1, 12).Draw(t, "size")},
				Cosigned: Cosigned{Cosignatures: strings.Split(strings.Repeat("x", rapid.IntRange(0, 3).Draw(t, "signatures")), "")}}
			kept, all = keepBest(kept, c), append(all, c)
			for i := 1; i < len(kept); i++ {
				if kept[i].head.size <= kept[i-1].head.size || len(kept[i].Cosignatures) >= len(kept[i-1].Cosignatures) {
					t.Fatalf("kept %+v", kept)
				}
			}
		}
		l := &Log{cosigned: kept}
		for size := range uint64(14) {
			most, covered := 0, false
			for _, c := range all {
				if c.head.size >= size {
					most, covered = max(most, len(c.Cosignatures)), true
				}
			}
			if got, ok := l.cosignedOver(size); ok != covered || len(got.Cosignatures) != most || ok && got.head.size < size {
				t.Fatalf("over %d entries: %+v, %v; want %d signatures of %+v", size, got, ok, most, all)
			}
		}
	})
}
