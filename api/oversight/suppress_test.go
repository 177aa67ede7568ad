package oversight

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawCells draws a year of an ISP with small and large authorities, some of which
// use only some bases.
func drawCells(rt *rapid.T) []Cell {
	cells := map[[4]string]Figures{}
	n := rapid.SampledFrom([]int{1, 3, 8, 30}).Draw(rt, "cells")
	for range n {
		key := [4]string{fmt.Sprintf("A%d", rapid.IntRange(1, 4).Draw(rt, "authority")), fmt.Sprintf("B%d", rapid.IntRange(1, 4).Draw(rt, "basis")),
			rapid.SampledFrom([]string{"IDENTITY", "ATTRIBUTION", "HISTORY"}).Draw(rt, "category"), rapid.SampledFrom(AgeBands[:3]).Draw(rt, "age")}
		count := func() uint64 { return uint64(rapid.SampledFrom([]int{0, 0, 1, 2, 4, 5, 6, 12, 40}).Draw(rt, "count")) }
		f := Figures{count(), count(), count(), count(), count(), 0}
		if f.Disclosed > 0 {
			f.Further = count()
		}
		if f.Requests() > 0 {
			cells[key] = cells[key].Plus(f)
		}
	}
	var out []Cell
	for key, f := range cells {
		out = append(out, Cell{key[0], key[1], key[2], key[3], f})
	}
	slices.SortFunc(out, compareCells)
	return out
}

// sums is what an attacker knows: for every set of rows of a table, its figures and
// which combinations of labels it covers (structural zeros are public knowledge).
type known struct {
	covers set
	Figures
}

func knownOf(t Table, cells []Cell) []known {
	out := []known{{covers: set{}}}
	for _, r := range t.Rows {
		k := known{covers: set{}, Figures: r.Figures}
		for i, c := range cells {
			k.covers[i] = slices.Contains(r.Labels, t.By.of(c))
			if !k.covers[i] {
				delete(k.covers, i)
			}
		}
		for _, o := range slices.Clone(out) {
			both := known{covers: maps.Clone(o.covers), Figures: o.Figures.Plus(k.Figures)}
			maps.Copy(both.covers, k.covers)
			out = append(out, both)
		}
	}
	return out
}

// leaks returns a figure under k that can be had from what was published: any sum of
// rows less any sum of rows, of the same table or another, that it contains, figure
// by figure and between the columns of it.
func leaks(tables []Table, cells []Cell, k uint64) string {
	var all [][]known
	for _, t := range tables {
		all = append(all, knownOf(t, cells))
	}
	for i, of := range all {
		for j, less := range all {
			for _, a := range of {
				for _, b := range less {
					if !b.covers.within(a.covers) {
						continue
					}
					x, y := a.all(), b.all()
					columns := append(x[:], a.Requests(), a.Answered(), a.Requests()-a.Answered(), a.Answered()-a.Disclosed, a.Subjects())
					minus := append(y[:], b.Requests(), b.Answered(), b.Requests()-b.Answered(), b.Answered()-b.Disclosed, b.Subjects())
					for c := range columns {
						if d := columns[c] - minus[c]; d > 0 && d < k {
							return fmt.Sprintf("column %d: %d rows of %s less %d rows of %s give %d", c, len(a.covers), tables[i].By, len(b.covers), tables[j].By, d)
						}
					}
				}
			}
		}
	}
	return ""
}

// Whoever has the public report and knows which authority may use which basis finds
// no figure under five in it by adding up and subtracting; and it loses nothing: the
// rows of every table add up to the total.
func TestPublicGivesNothingAway(t *testing.T) {
	published := 0
	rapid.Check(t, func(rt *rapid.T) {
		cells := drawCells(rt)
		tables := Public(cells, LeastPublished)
		var total Figures
		for _, c := range cells {
			total = total.Plus(c.Figures)
		}
		if len(tables) == 0 {
			if total.Requests() > 0 && total.safe(LeastPublished) {
				rt.Fatalf("nothing is published of %+v", total)
			}
			return
		}
		published++
		for _, table := range tables {
			var sum Figures
			labels := map[string]bool{}
			for _, r := range table.Rows {
				sum = sum.Plus(r.Figures)
				for _, l := range r.Labels {
					if labels[l] {
						rt.Fatalf("%s: %s is in two rows", table.By, l)
					}
					labels[l] = true
				}
			}
			if sum != total {
				rt.Fatalf("%s adds up to %+v, want %+v", table.By, sum, total)
			}
			for _, c := range cells {
				if !labels[table.By.of(c)] {
					rt.Fatalf("%s: no row has %s", table.By, table.By.of(c))
				}
			}
		}
		if found := leaks(tables, cells, LeastPublished); found != "" {
			rt.Fatalf("%s\n%+v\n%+v", found, tables, cells)
		}
	})
	if published < 10 {
		t.Errorf("only %d reports had anything to attack", published)
	}
}

// The attack of the test above finds what there is to find: without complementary
// suppression, in one table and between two.
func TestAttackFindsWhatLeaks(t *testing.T) {
	row := func(label string, n uint64) Row { return Row{Labels: []string{label}, Figures: Figures{Disclosed: n}} }
	cells := []Cell{
		{"A1", "B1", "IDENTITY", AgeBands[0], Figures{Disclosed: 20}},
		{"A2", "B1", "IDENTITY", AgeBands[0], Figures{Disclosed: 3}},
		{"A2", "B2", "IDENTITY", AgeBands[0], Figures{Disclosed: 17}},
	}
	naive := []Table{{By: ByAuthority, Rows: []Row{row("A1", 20), row("A2", 20)}}, {By: ByBasis, Rows: []Row{row("B1", 23), row("B2", 17)}}}
	if leaks(naive, cells, LeastPublished) == "" {
		t.Error("A1 only uses B1, so B1 less A1 is the three of A2, and the attack does not see it")
	}
	if leaks([]Table{{By: ByAuthority, Rows: []Row{row("A1", 20), {Labels: []string{"A2"}, Figures: Figures{Disclosed: 17, Refused: 3}}}}}, cells, LeastPublished) == "" {
		t.Error("a figure of three is published and the attack does not see it")
	}
	for _, table := range Public(cells, LeastPublished) {
		if len(table.Rows) > 1 && table.By == ByBasis {
			for _, other := range Public(cells, LeastPublished) {
				if other.By == ByAuthority && len(other.Rows) > 1 {
					t.Error("both tables are published apart")
				}
			}
		}
	}
}

// A year in which little happened has no report, and one with enough keeps its rows.
func TestPublicKeepsWhatIsEnough(t *testing.T) {
	if got := Public([]Cell{{"A1", "B1", "IDENTITY", AgeBands[0], Figures{Disclosed: 4}}}, LeastPublished); got != nil {
		t.Errorf("four requests are published: %+v", got)
	}
	if got := Public(nil, LeastPublished); got != nil {
		t.Errorf("nothing is published as %+v", got)
	}
	got := Public([]Cell{{"A1", "B1", "IDENTITY", AgeBands[0], Figures{Disclosed: 50, Refused: 10}}, {"A2", "B2", "HISTORY", AgeBands[1], Figures{Disclosed: 30}},
		{"A3", "B2", "HISTORY", AgeBands[1], Figures{Unanswered: 7}}, {"A4", "B2", "HISTORY", AgeBands[1], Figures{Disclosed: 2}}}, LeastPublished)
	rows := map[Dimension]int{}
	for _, table := range got {
		rows[table.By] = len(table.Rows)
	}
	if want := (map[Dimension]int{ByAuthority: 3, ByBasis: 2, ByCategory: 2, ByAge: 2}); !maps.Equal(rows, want) {
		t.Errorf("rows = %v, want %v: %+v", rows, want, got)
	}
}
