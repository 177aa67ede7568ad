package execute_test

import (
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// What a line had and did is preserved by any name that the line has, and nothing of
// when that name was another's; too many lines are none.
func TestPreserveALine(t *testing.T) {
	l := newLab(t)
	l.household()
	c := l.Content(hour)
	c.LegalBasis, c.Categories = "NL-126ni", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}
	c.Targets = []string{"line:line-carol", "radius:carol@isp.example", "person:Carol de Wit;2345CD;8;B", "address:2345CD;8;B", "line:line-nobody", "2001:db8:41::/56"}
	order := l.Approve(c)
	w := l.Everything("line:line-carol", "line:line-dave")
	produce := func(want reason.Reason, id string, category griffierv1.Category, target string, from, to time.Duration) []string {
		_, rows, _ := l.MustAsk(w, want, category, target, from, to, func(r *griffierv1.CreateTaskRequest) { r.FromHold = id })
		return rows
	}
	for _, target := range c.Targets[:3] {
		done, _ := l.MustExecute(l.Preservation(order, target, l.Noon.Add(-3*hour), l.Noon.Add(30*time.Minute)), reason.Preserved)
		for category, window := range map[griffierv1.Category][2]time.Duration{historyOf: {-2*hour - 30*time.Minute, 0}, timesOf: {-2*hour - 30*time.Minute, 0}, volumeOf: {-hour, 0}} {
			_, want, _ := l.MustAsk(w, reason.Match, category, "line:line-carol", window[0], window[1])
			l.WantRows(category.String()+" of a hold of "+target, produce(reason.Match, done.HoldId, category, "line:line-carol", window[0], window[1]), want...)
		}
		produce(reason.DataNotHeld, done.HoldId, historyOf, "line:line-dave", -2*hour, 0)
		o, err := l.Keeper.Open(done.HoldId, func(keep.Head) bool { return true })
		if err != nil || len(o.Persons) != 1 || len(o.Head.Refs) == 0 || strings.Contains(disclosuretest.JSON(o), "Betaalweg") || strings.Contains(disclosuretest.JSON(o), "Dave") {
			t.Errorf("%s: %v, %s", target, err, disclosuretest.JSON(o.Persons))
		}
	}
	for _, test := range []struct {
		target   string
		from, to time.Duration
		want     reason.Reason
	}{
		{"line:line-nobody", -3 * hour, 0, reason.NoMatch}, {"line:line-carol", 7 * hour, 8 * hour, reason.CoverageGap}, {"line:line-carol", -20 * 24 * hour, -19 * 24 * hour, reason.RetentionElapsed},
	} {
		l.MustExecute(l.Preservation(order, test.target, l.Noon.Add(test.from), l.Noon.Add(test.to)), test.want)
	}
	// A house of two lines, and a name that was one's and then the other's.
	for _, target := range []string{"address:2345CD;8;B", "radius:carol@isp.example"} {
		_, err := l.Execute(l.Preservation(order, target, l.Noon.Add(hour), l.Noon.Add(150*time.Minute)))
		l.Want(err, reason.MaxHits)
	}
	_, err := l.Ask(order, griffierv1.Category_CATEGORY_PRESERVATION, "2001:db8:41::/56", 0, hour)
	l.Want(err, reason.InvalidRequest)
	l.whole()
}

// Of a line whose name is another's from some time on, what came after that is not kept.
func TestPreserveALineByAnEarlierName(t *testing.T) {
	l := newLab(t)
	l.household()
	c := l.Content(hour)
	c.LegalBasis, c.Categories, c.Targets = "NL-126ni", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, []string{"radius:carol@isp.example"}
	// Dave's contract has not begun in the register's eyes, so the name is Carol's alone.
	if err := l.Register.Erase(t.Context(), "line-dave"); err != nil {
		t.Fatal(err)
	}
	done, _ := l.MustExecute(l.Preservation(l.Approve(c), "radius:carol@isp.example", l.Noon.Add(-3*hour), l.Noon.Add(5*hour)), reason.Preserved)
	o, err := l.Keeper.Open(done.HoldId, func(keep.Head) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range o.Lines {
		if h.ValidTo.After(l.Noon.Add(2 * hour)) {
			t.Errorf("the line is held to have had a pseudonym until %v", h.ValidTo.Sub(l.Noon))
		}
	}
	if len(o.Lines) == 0 || len(o.Sessions) == 0 {
		t.Errorf("held: %s", disclosuretest.JSON(o.Contents))
	}
}
