package ledger

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestNothingIsWrittenAfterClose closes one of two ledgers in the middle of its work.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	stays := newBench(t).open(t)
	b := newBench(t)
	l := b.open(t)
	if l.label == stays.label {
		t.Fatal("two ledgers with one label")
	}
	for i := range 3 {
		mustAppend(t, l, i)
	}
	for _, log := range []*Log{l, stays} {
		if is, err := running(log.label); err != nil || !is {
			t.Fatalf("tessera's goroutines are not found: %v", err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if is, err := running(l.label); err != nil || is {
		t.Fatalf("tessera goes on after Close (%v)", err)
	}
	if is, err := running(stays.label); err != nil || !is {
		t.Fatalf("another ledger's goroutines are not found: %v", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if at, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(at, b.dir+"/") {
			t.Errorf("%s is open after Close", at)
		}
	}
}

func TestAwaitEndGivesUp(t *testing.T) {
	release, end := make(chan struct{}), make(chan struct{})
	label := labelled(func() {
		go func() { defer close(end); <-release }()
	})
	if err := awaitEnd(label, 10*time.Millisecond); err == nil {
		t.Fatal("a goroutine goes on, and is not found")
	}
	close(release)
	<-end
	if err := awaitEnd(label, 20*time.Second); err != nil {
		t.Fatal(err)
	}
}
