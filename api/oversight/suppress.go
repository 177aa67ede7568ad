package oversight

import (
	"cmp"
	"maps"
	"slices"
)

// LeastPublished is the least figure, above nothing, that is published.
const LeastPublished = 5

// Dimension is what a public table is by.
type Dimension string

// Dimensions of the public report.
const (
	ByAuthority Dimension = "authority"
	ByBasis     Dimension = "legal_basis"
	ByCategory  Dimension = "category"
	ByAge       Dimension = "age"
)

// Dimensions lists them.
var Dimensions = []Dimension{ByAuthority, ByBasis, ByCategory, ByAge}

func (d Dimension) of(c Cell) string {
	return map[Dimension]string{ByAuthority: c.Authority, ByBasis: c.Basis, ByCategory: c.Category, ByAge: c.Age}[d]
}

// Row is a row of a public table: what it is of, or several labels that were put
// together because one of them alone is too few.
type Row struct {
	Labels []string `json:"labels"`
	Figures
}

// Table is a partition of all requests of the year, so that its rows add up to the
// total and there is no remainder to subtract.
type Table struct {
	By   Dimension `json:"by"`
	Rows []Row     `json:"rows"`
}

// Public returns tables of which every figure is 0 or at least k, and stays so
// however rows are added up and subtracted: from the total, and of one table from
// another, also by somebody who knows which combinations do not occur. It returns
// none when even the totals are too few.
//
// Two tables are compared row by row and by pairs of rows, and by every set of rows
// while a table has at most ten.
func Public(cells []Cell, k uint64) []Table {
	var total Figures
	for _, c := range cells {
		total = total.Plus(c.Figures)
	}
	if total.Requests() == 0 || !total.safe(k) {
		return nil
	}
	tables := make([]partition, len(Dimensions))
	for i, d := range Dimensions {
		tables[i] = partitionBy(cells, d)
		tables[i].pool(k)
	}
	for {
		i, row, found := betrayed(cells, tables, k)
		if !found {
			break
		}
		tables[i].merge(row, k)
		tables[i].pool(k)
	}
	out := make([]Table, len(tables))
	for i, p := range tables {
		out[i] = Table{By: Dimensions[i], Rows: p.published()}
	}
	return out
}

// safe reports whether every figure is nothing or enough.
func (f Figures) safe(k uint64) bool {
	for _, n := range f.all() {
		if n > 0 && n < k {
			return false
		}
	}
	return true
}

// set is which of the cells, by index.
type set map[int]bool

// group is a row while tables are made.
type group struct {
	labels []string
	cells  set
	Figures
}

// partition is a table while it is made.
type partition []group

func partitionBy(cells []Cell, d Dimension) partition {
	by := map[string]group{}
	for i, c := range cells {
		g, ok := by[d.of(c)]
		if !ok {
			g = group{labels: []string{d.of(c)}, cells: set{}}
		}
		g.cells[i], g.Figures = true, g.Figures.Plus(c.Figures)
		by[d.of(c)] = g
	}
	p := partition(slices.Collect(maps.Values(by)))
	p.sort()
	return p
}

// sort orders rows from few requests to many.
func (p partition) sort() {
	slices.SortFunc(p, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.Requests(), b.Requests()), slices.Compare(a.labels, b.labels))
	})
}

// pool puts rows that are too few together with each other, or with the smallest.
func (p *partition) pool(k uint64) {
	for len(*p) > 1 {
		i := slices.IndexFunc(*p, func(g group) bool { return !g.safe(k) })
		if i < 0 {
			return
		}
		p.merge(i, k)
	}
}

// merge puts a row together with the smallest other one with which it is enough, or
// the smallest of all.
func (p *partition) merge(i int, k uint64) {
	q := *p
	if len(q) < 2 {
		return
	}
	j := slices.IndexFunc(q, func(g group) bool { return !g.cells.overlaps(q[i].cells) && g.Figures.Plus(q[i].Figures).safe(k) })
	switch {
	case j < 0 && i == 0:
		j = 1
	case j < 0:
		j = 0
	}
	a, b := q[i], q[j]
	both := group{labels: slices.Sorted(slices.Values(slices.Concat(a.labels, b.labels))), cells: maps.Clone(a.cells), Figures: a.Figures.Plus(b.Figures)}
	maps.Copy(both.cells, b.cells)
	q = slices.DeleteFunc(q, func(g group) bool { return g.cells.overlaps(both.cells) })
	*p = append(q, both)
	p.sort()
}

func (s set) overlaps(o set) bool {
	for i := range s {
		if o[i] {
			return true
		}
	}
	return false
}

// within reports whether s is part of o.
func (s set) within(o set) bool {
	for i := range s {
		if !o[i] {
			return false
		}
	}
	return true
}

// betrayed finds a row that, with others of its table, differs from rows of another
// table by figures that are too few.
func betrayed(cells []Cell, tables []partition, k uint64) (table, row int, found bool) {
	for i, p := range tables {
		if len(p) < 2 {
			continue
		}
		for _, rows := range choices(len(p)) {
			sum := set{}
			for _, r := range rows {
				maps.Copy(sum, p[r].cells)
			}
			for j, q := range tables {
				if i == j {
					continue
				}
				cover, inner := set{}, set{}
				for _, g := range q {
					if g.cells.overlaps(sum) {
						maps.Copy(cover, g.cells)
					}
					if g.cells.within(sum) {
						maps.Copy(inner, g.cells)
					}
				}
				if !difference(cells, cover, sum).safe(k) || !difference(cells, sum, inner).safe(k) {
					return i, rows[0], true
				}
			}
		}
	}
	return 0, 0, false
}

// difference adds up the cells of the larger that are not in the smaller.
func difference(cells []Cell, larger, smaller set) Figures {
	var f Figures
	for i := range larger {
		if !smaller[i] {
			f = f.Plus(cells[i].Figures)
		}
	}
	return f
}

// choices lists the sets of n rows to look at: all, or those of one and two.
func choices(n int) [][]int {
	var out [][]int
	if n <= 10 {
		for bits := 1; bits < 1<<n-1; bits++ {
			var rows []int
			for i := range n {
				if bits>>i&1 == 1 {
					rows = append(rows, i)
				}
			}
			out = append(out, rows)
		}
		return out
	}
	for i := range n {
		out = append(out, []int{i})
		for j := range i {
			out = append(out, []int{j, i})
		}
	}
	return out
}

func (p partition) published() []Row {
	rows := make([]Row, 0, len(p))
	for _, g := range p {
		rows = append(rows, Row{Labels: g.labels, Figures: g.Figures})
	}
	slices.SortFunc(rows, func(a, b Row) int { return slices.Compare(a.Labels, b.Labels) })
	return rows
}
