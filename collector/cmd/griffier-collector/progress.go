package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	barWidth   = 30
	barEvery   = 100 * time.Millisecond
	plainEvery = 2 * time.Second
)

// progress shows how far a replay is: a bar that is drawn over itself on a
// terminal, and now and then a line elsewhere.
type progress struct {
	w       io.Writer
	bar     bool
	now     func() time.Time
	started time.Time
	shown   time.Time
}

// newProgress starts the clock. What is not a terminal gets lines.
func newProgress(w io.Writer, now func() time.Time) *progress {
	p := &progress{w: w, now: now, started: now()}
	p.shown = p.started
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.bar = err == nil
	}
	return p
}

// update shows that packets have been read, with read of the file's size bytes.
func (p *progress) update(packets int, read, size int64) {
	now := p.now()
	every := plainEvery
	if p.bar {
		every = barEvery
	}
	if now.Sub(p.shown) < every || size <= 0 {
		return
	}
	p.shown = now
	took := now.Sub(p.started)
	part := min(1, float64(read)/float64(size))
	text := fmt.Sprintf("%3.0f %%  %d of %d MiB, %.1fM packets, %.1fM/s, %v to go", 100*part, read>>20, size>>20,
		float64(packets)/1e6, float64(packets)/1e6/took.Seconds(), remaining(took, part))
	if !p.bar {
		fmt.Fprintln(p.w, strings.TrimLeft(text, " "))
		return
	}
	full := int(part * barWidth)
	fmt.Fprintf(p.w, "\r[%s%s] %s\x1b[K", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), text)
}

// remaining is how long the rest takes at the speed so far.
func remaining(took time.Duration, part float64) time.Duration {
	if part <= 0 {
		return 0
	}
	return time.Duration(float64(took) * (1 - part) / part).Round(time.Second)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
