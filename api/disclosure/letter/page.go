package letter

import (
	"fmt"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

// Measures in millimetres, sizes in points.
const (
	left, top, right, bottom = 25.0, 20.0, 22.0, 24.0
	labelWidth               = 52.0
	size, small, large       = 9.5, 8.0, 15.0
	line                     = 4.7
	family                   = "go"
)

// page lays text out from top to bottom.
type page struct {
	*glyphs
	pdf *fpdf.Fpdf
	l   Letter
	w   *vocabulary
}

func newPage(l Letter, w *vocabulary, pages int) (*page, error) {
	glyphs, err := newGlyphs()
	if err != nil {
		return nil, err
	}
	pdf := fpdf.New("P", "mm", "A4", "")
	p := &page{glyphs: glyphs, pdf: pdf, l: l, w: w}
	// Reproducible, and readable by a program that knows no more than the order of
	// its text: see Text.
	pdf.SetCatalogSort(true)
	pdf.SetCompression(false)
	pdf.SetCreationDate(l.At.UTC())
	pdf.SetModificationDate(l.At.UTC())
	pdf.SetProducer("Griffier", true)
	pdf.SetCreator("Griffier", true)
	pdf.SetTitle(w.title(l)+" "+l.TaskID, true)
	pdf.SetLang(w.tag)
	pdf.SetMargins(left, top, right)
	pdf.SetAutoPageBreak(false, bottom)
	pdf.AddUTF8FontFromBytes(family, "", goregular.TTF)
	pdf.AddUTF8FontFromBytes(family, "B", gobold.TTF)
	pdf.SetFooterFunc(func() {
		pdf.SetY(-16)
		p.colour(grey)
		pdf.SetFont(family, "", small)
		pdf.SetDrawColor(190, 190, 190)
		pdf.Line(left, pdf.GetY()-1.5, 210-right, pdf.GetY()-1.5)
		pdf.CellFormat(120, line, p.shown(w.ourTask+" "+l.TaskID), "", 0, "L", false, 0, "")
		pdf.CellFormat(0, line, fmt.Sprintf(w.pageOf, pdf.PageNo(), pages), "", 0, "R", false, 0, "")
		p.colour(black)
	})
	pdf.SetFont(family, "", size)
	return p, pdf.Error()
}

type rgb [3]int

var (
	black = rgb{20, 20, 20}
	grey  = rgb{105, 105, 105}
	ink   = rgb{24, 52, 92}
)

func (p *page) colour(c rgb) { p.pdf.SetTextColor(c[0], c[1], c[2]) }

func (p *page) width() float64 { return 210 - left - right }

func (p *page) gap(mm float64) { p.pdf.SetY(p.pdf.GetY() + mm) }

// room begins a new page unless mm are left on this one.
func (p *page) room(mm float64) {
	if p.pdf.GetY()+mm > 297-bottom {
		p.pdf.AddPage()
	}
}

// lines prints text in a column, a line at a time, each at x.
func (p *page) lines(x, width float64, text string) {
	for _, s := range p.pdf.SplitText(p.shown(text), width) {
		p.room(line)
		p.pdf.SetX(x)
		p.pdf.CellFormat(width, line, s, "", 0, "L", false, 0, "")
		p.pdf.SetY(p.pdf.GetY() + line)
	}
}

func (p *page) head() {
	p.pdf.SetFont(family, "B", 12)
	p.colour(ink)
	p.lines(left, p.width(), p.l.Provider)
	p.pdf.SetFont(family, "", small)
	p.colour(grey)
	p.lines(left, p.width(), p.w.department)
	p.pdf.SetDrawColor(ink[0], ink[1], ink[2])
	p.pdf.SetLineWidth(0.5)
	p.gap(1)
	p.pdf.Line(left, p.pdf.GetY(), 210-right, p.pdf.GetY())
	p.pdf.SetLineWidth(0.2)
	p.plain()
	p.gap(3)
	p.pdf.SetFont(family, "B", small)
	p.lines(left, p.width(), p.w.confidential)
	p.plain()
}

func (p *page) plain() {
	p.colour(black)
	p.pdf.SetFont(family, "", size)
}

func (p *page) title(text string) {
	p.pdf.SetFont(family, "B", large)
	p.room(12)
	p.lines(left, p.width(), text)
	p.plain()
	p.gap(2)
}

func (p *page) heading(text string) {
	p.gap(3.5)
	p.room(22) // never the last thing on a page
	p.pdf.SetFont(family, "B", 11)
	p.colour(ink)
	p.lines(left, p.width(), text)
	p.gap(0.8)
	p.pdf.SetDrawColor(190, 190, 190)
	p.pdf.Line(left, p.pdf.GetY(), 210-right, p.pdf.GetY())
	p.gap(1.4)
	p.plain()
}

func (p *page) paragraph(text string) {
	p.lines(left, p.width(), text)
	p.gap(1.2)
}

func (p *page) strong(text string) {
	p.pdf.SetFont(family, "B", 10.5)
	p.lines(left, p.width(), text)
	p.plain()
	p.gap(0.8)
}

func (p *page) note(text string) {
	p.pdf.SetFont(family, "B", small)
	p.lines(left+labelWidth, p.width()-labelWidth, text)
	p.plain()
}

func (p *page) item(text string) {
	p.room(line)
	y := p.pdf.GetY()
	p.lines(left+4, p.width()-4, text)
	if p.pdf.GetY() > y { // still on the same page
		p.pdf.SetFillColor(ink[0], ink[1], ink[2])
		p.pdf.Circle(left+1.2, y+line/2, 0.55, "F")
	}
}

// row is a label with its value beside it.
func (p *page) row(label, value string) {
	if value == "" {
		return
	}
	// A value stays on one page, where it is read back whole.
	tall := max(len(p.pdf.SplitText(p.shown(label), labelWidth-3)), len(p.pdf.SplitText(p.shown(value), p.width()-labelWidth)), 1)
	p.room(float64(tall) * line)
	y, at := p.pdf.GetY(), p.pdf.PageNo()
	if label != "" {
		p.colour(grey)
		p.lines(left, labelWidth-3, label)
		p.colour(black)
	}
	under, on := p.pdf.GetY(), p.pdf.PageNo()
	if on == at {
		p.pdf.SetY(y)
	}
	p.lines(left+labelWidth, p.width()-labelWidth, value)
	if on == p.pdf.PageNo() && p.pdf.GetY() < under {
		p.pdf.SetY(under)
	}
	p.gap(0.5)
}

// boxed is what must not be overlooked.
func (p *page) boxed(title, text string) {
	const pad = 3.0
	p.gap(3)
	p.pdf.SetFont(family, "", size)
	height := float64(len(p.pdf.SplitText(p.shown(text), p.width()-2*pad))+1)*line + 2*pad
	p.room(height)
	y := p.pdf.GetY()
	p.pdf.SetFillColor(243, 245, 249)
	p.pdf.SetDrawColor(ink[0], ink[1], ink[2])
	p.pdf.Rect(left, y, p.width(), height, "FD")
	p.pdf.SetY(y + pad)
	p.pdf.SetFont(family, "B", size)
	p.lines(left+pad, p.width()-2*pad, title)
	p.plain()
	p.lines(left+pad, p.width()-2*pad, text)
	p.pdf.SetY(y + height + 1)
}

// utc is an instant in UTC with its weekday.
func (p *page) utc(at time.Time) string { return p.day(at.UTC()) + " UTC" }

// local is an instant in the letter's zone, with the zone's name, its offset, and
// whether that is summer time.
func (p *page) local(at time.Time) string {
	at = at.In(p.l.Zone)
	name, _ := at.Zone()
	season := p.w.winter
	if at.IsDST() {
		season = p.w.summer
	}
	return fmt.Sprintf("%s %s (UTC%s, %s, %s)", p.day(at), name, at.Format("-07:00"), season, p.l.Zone)
}

func (p *page) day(at time.Time) string {
	return fmt.Sprintf("%s %d %s %d %s", p.w.weekdays[at.Weekday()], at.Day(), p.w.months[at.Month()-1], at.Year(), at.Format("15:04:05.999999999"))
}
