package statistics

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func inOneRegion(string) string { return "" }

// line makes a cell of n lines of which each moved bytes.
func cell(segment string, n, bytes uint64) Cell {
	return Cell{Segments: []string{segment}, Lines: n, BytesDown: n * bytes, PacketsDown: n, Few: Few{All: n, Down: n, BytesDown: Top{bytes, min(bytes, (n-1)*bytes)}, PacketsDown: Top{1, min(1, n-1)}}}
}

func TestMerge(t *testing.T) {
	whale := cell("whale", 12, 100)
	whale.BytesDown, whale.Few.BytesDown = whale.BytesDown+5000, Top{5100, 100}
	sender := cell("sender", 20, 100) // one of twenty that fetch sends, little beside what is fetched
	sender.BytesUp, sender.PacketsUp, sender.Few.Up, sender.Few.BytesUp, sender.Few.PacketsUp = 50, 1, 1, Top{50, 0}, Top{1, 0}
	senders := cell("senders", 20, 100) // eleven send, and one of them most
	senders.BytesUp, senders.PacketsUp, senders.Few.Up, senders.Few.BytesUp, senders.Few.PacketsUp = 60, 11, 11, Top{50, 1}, Top{1, 1}
	caller := cell("caller", 20, 100) // one moves few bytes in most of the packets
	caller.PacketsDown, caller.Few.PacketsDown = 1000, Top{900, 10}
	rivals := cell("rivals", 10, 1) // two companies move nearly all, each as much: either knows the other's
	rivals.BytesDown, rivals.Few.BytesDown = rivals.BytesDown+2000, Top{1001, 1001}
	for _, test := range []struct {
		name   string
		cells  []Cell
		region func(string) string
		want   [][]string
	}{
		{"nobody", nil, inOneRegion, nil},
		{"one segment, one line", []Cell{cell("a", 1, 7)}, inOneRegion, nil},
		{"nine lines in all", []Cell{cell("a", 4, 7), cell("b", 5, 7)}, inOneRegion, nil},
		{"two halves of ten", []Cell{cell("a", 5, 7), cell("b", 5, 7)}, inOneRegion, [][]string{{"a", "b"}}},
		{"a small one takes the smallest", []Cell{cell("a", 1, 7), cell("b", 30, 7), cell("c", 12, 7)}, inOneRegion, [][]string{{"a", "c"}, {"b"}}},
		{"small ones merge with each other first", []Cell{cell("a", 6, 7), cell("b", 6, 7), cell("c", 12, 7)}, inOneRegion, [][]string{{"a", "b"}, {"c"}}},
		{"one line moves most of a segment", []Cell{whale, cell("b", 10, 100), cell("c", 500, 100)}, inOneRegion, [][]string{{"b", "c", "whale"}}},
		{"one line moves most of everything", []Cell{whale, cell("b", 10, 100)}, inOneRegion, nil},
		{"the only one that sends", []Cell{sender}, inOneRegion, nil},
		{"the only one that sends, and ten that do", []Cell{sender, {Segments: []string{"b"}, Lines: 10, BytesUp: 500, PacketsUp: 10,
			Few: Few{All: 10, Up: 10, BytesUp: Top{50, 50}, PacketsUp: Top{1, 1}}}}, inOneRegion, [][]string{{"b", "sender"}}},
		{"one sends most of what is sent", []Cell{senders, cell("b", 30, 100)}, inOneRegion, nil},
		{"one moves most of the packets", []Cell{caller, cell("b", 30, 100)}, inOneRegion, nil},
		{"one of two large ones knows the other", []Cell{rivals, cell("b", 10, 5)}, inOneRegion, nil},
		{"one of two large ones does not, among others", []Cell{rivals, cell("b", 10, 10)}, inOneRegion, [][]string{{"b", "rivals"}}},
		{"exactly ten and nine", []Cell{cell("a", 10, 7), cell("b", 9, 7), cell("c", 11, 7)}, inOneRegion, [][]string{{"a", "b"}, {"c"}}},
		{"many lines of one subscriber", []Cell{{Segments: []string{"a"}, Lines: 30, BytesDown: 300, PacketsDown: 30,
			Few: Few{All: 9, Down: 9, BytesDown: Top{100, 90}, PacketsDown: Top{10, 9}}}}, inOneRegion, nil},
		{"a region is merged before others are asked", []Cell{cell("n1", 1, 7), cell("n2", 50, 7), cell("s1", 11, 7)},
			func(s string) string { return s[:1] }, [][]string{{"n1", "n2"}, {"s1"}}},
		{"a small region is merged with another", []Cell{cell("n1", 1, 7), cell("n2", 2, 7), cell("s1", 11, 7), cell("s2", 12, 7)},
			func(s string) string { return s[:1] }, [][]string{{"n1", "n2", "s1"}, {"s2"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got [][]string
			for _, c := range Merge(test.cells, test.region, MinLines) {
				got = append(got, c.Segments)
			}
			if !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("published %v, want %v", got, test.want)
			}
		})
	}
}

// TestMergeIsAPartition is what the protection rests on: every published cell is
// safe, and together they hold exactly what there was, so that whoever knows any
// total of segments finds no remainder; or nothing is published.
func TestMergeIsAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		regions := rapid.IntRange(1, 4).Draw(t, "regions")
		n := rapid.IntRange(0, 12).Draw(t, "segments")
		region := func(s string) string { return fmt.Sprint(int(s[0]) % regions) }
		k := uint64(rapid.IntRange(10, 20).Draw(t, "k"))
		var cells []Cell
		var whole Cell
		moved := map[string][]uint64{} // what each line sent, by segment
		for i := range n {
			lines := rapid.Uint64Range(0, 25).Draw(t, "lines")
			c := Cell{Segments: []string{string(rune('a' + i))}, Lines: lines, Few: Few{All: lines}}
			for range lines {
				v := rapid.Uint64Range(1, 1000).Draw(t, "bytes")
				if rapid.IntRange(0, 20).Draw(t, "whale") == 0 {
					v *= 1000
				}
				c.BytesUp, c.PacketsUp = c.BytesUp+v, c.PacketsUp+1
				c.Few.Up, c.Few.BytesUp, c.Few.PacketsUp = c.Few.Up+1, c.Few.BytesUp.with(Top{v, 0}), c.Few.PacketsUp.with(Top{1, 0})
				moved[c.Segments[0]] = append(moved[c.Segments[0]], v)
				if down := rapid.Uint64Range(0, 1000).Draw(t, "down"); rapid.IntRange(0, 3).Draw(t, "fetches") == 0 && down > 0 {
					c.BytesDown, c.PacketsDown = c.BytesDown+down, c.PacketsDown+1
					c.Few.Down, c.Few.BytesDown, c.Few.PacketsDown = c.Few.Down+1, c.Few.BytesDown.with(Top{down, 0}), c.Few.PacketsDown.with(Top{1, 0})
				}
			}
			cells = append(cells, c)
			if lines > 0 {
				whole = whole.add(c)
			}
		}
		got := Merge(cells, region, k)
		if again := Merge(rapid.Permutation(cells).Draw(t, "order"), region, k); !slices.EqualFunc(got, again, func(a, b Cell) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Fatalf("the order of the cells matters: %v and %v", got, again)
		}
		if len(got) == 0 {
			if whole.safe(k) {
				t.Fatalf("nothing published, though the whole is safe: %+v", whole)
			}
			return
		}
		var sum Cell
		for _, c := range got {
			if c.Lines < k || c.Few.BytesDown.First > c.BytesDown/2 || c.Few.Down > 0 && c.Few.Down < k {
				t.Fatalf("published %+v", c)
			}
			var sent []uint64
			for _, segment := range c.Segments {
				sent = append(sent, moved[segment]...)
			}
			slices.Sort(sent)
			largest := sent[len(sent)-1]
			if rest := c.BytesUp - largest; rest < largest || rest-sent[len(sent)-2] < largest/10 {
				t.Fatalf("published %d bytes, of which %d are one's and %d another's", c.BytesUp, largest, sent[len(sent)-2])
			}
			if len(sum.Segments)+len(c.Segments) != len(sum.add(c).Segments) {
				t.Fatalf("a segment is in two cells: %v", got)
			}
			sum = sum.add(c)
		}
		if fmt.Sprint(sum) != fmt.Sprint(whole) {
			t.Fatalf("published %+v of %+v", sum, whole)
		}
	})
}

func TestRounded(t *testing.T) {
	for v, want := range map[uint64]uint64{0: 0, 999: 999, 1000: 1000, 1004: 1000, 1005: 1010, 123_456: 123_000, 999_500: 1_000_000, 1<<64 - 1: 18_400_000_000_000_000_000} {
		if got := significant(v); got != want {
			t.Errorf("significant(%d) = %d, want %d", v, got, want)
		}
	}
	if c := cell("a", 14, 1).rounded(); c.Lines != 10 || c.Few != (Few{}) {
		t.Errorf("rounded to %+v", c)
	}
}

func TestSegments(t *testing.T) {
	s, err := NewSegments([]Segment{{Name: "north", Region: "r1", Collectors: []string{"c1", "c2"}}, {Name: "c3", Collectors: []string{"c3"}}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Of("c2") != "north" || s.Region("north") != "r1" || s.Of("c9") != "c9" || s.Region("c9") != "" || s.Of("c3") != "c3" {
		t.Error("segments are not told apart")
	}
	for name, bad := range map[string][]Segment{
		"no name":                   {{Collectors: []string{"c1"}}},
		"no collectors":             {{Name: "a"}},
		"twice":                     {{Name: "a", Collectors: []string{"c1"}}, {Name: "a", Collectors: []string{"c2"}}},
		"in two segments":           {{Name: "a", Collectors: []string{"c1"}}, {Name: "b", Collectors: []string{"c1"}}},
		"named as another's member": {{Name: "c2", Collectors: []string{"c1"}}, {Name: "b", Collectors: []string{"c2"}}},
	} {
		if _, err := NewSegments(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if (Segments{}).Of("c1") != "c1" {
		t.Error("without a list every collector is a segment")
	}
}
