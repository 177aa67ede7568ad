// Package sizing computes what a store needs for a number of access lines: disk,
// rows a second, servers. Its figures are measured; a test measures them again, and
// the table in the installation guide is made from it.
package sizing

import (
	"fmt"
	"math"
	"strings"

	"griffier/schema"
)

// Figures are what was measured of one store.
type Figures struct {
	// BytesPerRow is what a merged row takes on disk, with its indexes.
	BytesPerRow map[schema.Class]float64
	// UsagePerSecond and SlicesPerSecond are how many rows of usage, and of sessions
	// and assignments, one server of CPUs processors takes in a second, fsynced, in
	// blocks of the size that a spool cuts.
	UsagePerSecond, SlicesPerSecond float64
	CPUs                            int
}

// Measured are the figures of record: of 100,000 to 300,000 rows a class from the day of a
// residential line (see the test), and of bench/result for the rate.
var Measured = Figures{
	BytesPerRow: map[schema.Class]float64{
		schema.ClassUsage5m:    5.9,
		schema.ClassUsageDay:   12.3,
		schema.ClassAssignment: 46.8,
		schema.ClassSession:    49.6,
	},
	UsagePerSecond:  555_000,
	SlicesPerSecond: 373_000,
	CPUs:            2,
}

// A Load is what one line makes in a day, once merged.
type Load struct {
	Rows map[schema.Class]float64
	// Reemitted are the further versions of open slices, which a merge takes away
	// again: they cost writing, not keeping.
	Reemitted float64
}

const (
	bucketsPerDay = 288 // of five minutes
	families      = 2   // IPv4 and IPv6
	directions    = 2
	reemitPerDay  = 288 // the collector's default, every five minutes
)

// Residential is a dual-stack line that is never silent for five minutes, has one
// IPv4 address and one delegated prefix, and reconnects every fifth day.
var Residential = Load{
	Rows: map[schema.Class]float64{
		schema.ClassUsage5m:    bucketsPerDay * families * directions,
		schema.ClassUsageDay:   families * directions,
		schema.ClassAssignment: 2.4,
		schema.ClassSession:    1.2,
	},
	Reemitted: 3 * reemitPerDay,
}

// What is left free on a server: parts that are being merged, versions that are
// not merged yet, the day that waits to be dropped, and the peak of an hour.
const (
	diskFree   = 0.4  // of the disk
	insertPart = 0.25 // of what a server can take in: it merges and answers too
	diskLimit  = 8e12 // bytes a server, so that a replica is refilled within a day
)

// An Estimate is what a number of lines needs under one policy.
type Estimate struct {
	Lines           int
	BytesPerLineDay float64
	DiskBytes       map[schema.Class]float64 // one copy
	RowsPerSecond   float64                  // on average, further versions included
	Shards          int
	Replicas        int
	DiskPerServer   float64 // with what is left free
}

// Size estimates. Days is how long each class is kept, the day of the drop
// included; a class that is not in it is not kept. Up to 100,000 lines one server,
// or the embedded engine, is enough; beyond that every shard has three replicas, so
// that one can be away.
func Size(lines int, f Figures, l Load, days map[schema.Class]float64) Estimate {
	e := Estimate{Lines: lines, DiskBytes: map[schema.Class]float64{}, Replicas: 3}
	var disk, usage float64
	slices := l.Reemitted
	for class, n := range l.Rows {
		e.BytesPerLineDay += n * f.BytesPerRow[class]
		e.DiskBytes[class] = n * f.BytesPerRow[class] * days[class] * float64(lines)
		disk += e.DiskBytes[class]
		switch class {
		case schema.ClassSession, schema.ClassAssignment:
			slices += n
		default:
			usage += n
		}
	}
	perSecond := float64(lines) / (24 * 60 * 60)
	e.RowsPerSecond = (usage + slices) * perSecond
	busy := (usage/f.UsagePerSecond + slices/f.SlicesPerSecond) * perSecond // of one server
	disk /= 1 - diskFree
	e.Shards = int(math.Ceil(max(busy/insertPart, disk/diskLimit)))
	if lines <= 100_000 && e.Shards == 1 {
		e.Replicas = 1
	}
	e.DiskPerServer = disk / float64(e.Shards)
	return e
}

// Servers is how many servers of Figures.CPUs processors the estimate is about.
func (e Estimate) Servers() int { return e.Shards * e.Replicas }

// Table writes estimates as a Markdown table, with a column for each class.
func Table(estimates []Estimate) string {
	classes := []schema.Class{schema.ClassUsage5m, schema.ClassUsageDay, schema.ClassAssignment, schema.ClassSession}
	var out strings.Builder
	out.WriteString("| lines | rows/s |")
	for _, c := range classes {
		fmt.Fprintf(&out, " %s |", c)
	}
	out.WriteString(" one copy | servers (shards × replicas) | disk a server |\n|---|---|" + strings.Repeat("---|", len(classes)+3) + "\n")
	for _, e := range estimates {
		fmt.Fprintf(&out, "| %s | %s |", thousands(e.Lines), thousands(int(math.Ceil(e.RowsPerSecond))))
		var whole float64
		for _, c := range classes {
			whole += e.DiskBytes[c]
			fmt.Fprintf(&out, " %s |", size(e.DiskBytes[c]))
		}
		fmt.Fprintf(&out, " %s | %d (%d × %d) | %s |\n", size(whole), e.Servers(), e.Shards, e.Replicas, size(e.DiskPerServer))
	}
	return out.String()
}

// size writes bytes in two digits.
func size(bytes float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for bytes >= 999.5 && i < len(units)-1 {
		bytes, i = bytes/1000, i+1
	}
	if bytes >= 9.95 {
		return fmt.Sprintf("%.0f %s", bytes, units[i])
	}
	return fmt.Sprintf("%.1f %s", bytes, units[i])
}

func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
