package listen

import (
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// mostShown is how wide a column of the lines of listen becomes: what is longer is cut. JSON has all of it.
const mostShown = 44

// mostFolded is how much of a claim is shown where it is folded.
const mostFolded = 120

// listenView writes aligned lines of what is not known in advance: columns start as wide as usual and grow.
// On a terminal that is too narrow for that, an event has a line for the verdict, and lines below it for the
// rest.
type listenView struct {
	ui.Style
	widths []int
	begun  bool
}

// oneLine is from which width of a terminal on an event is one line.
const oneLine = 160

func newListenView(s ui.Style) listenView {
	return listenView{Style: s, widths: []int{len("15:04:05"), len("quarantined"), len("source_not_allowed"),
		10, 28, 26, 12}}
}

func (v *listenView) narrow() bool { return v.Width > 0 && v.Width < oneLine }

// line is the line of h, at first with the heading.
func (v *listenView) line(h *heard) *ui.Printer {
	p := &ui.Printer{Style: v.Style}
	row := v.row(h)
	head := ui.Cells("TIME", "VERDICT", "REASON", "PRODUCER", "SOURCE", "TYPE", "ID", "")
	narrow := v.narrow()
	if !narrow {
		v.grow(row)
	}
	if !v.begun {
		v.begun = true
		if narrow {
			head = head[:4]
		}
		p.Linef("%s", v.Dim(strings.TrimRight(ui.FormatRow(head, v.widths), " ")))
	}
	if !narrow {
		p.Linef("%s", strings.TrimRight(ui.FormatRow(row, v.widths), " "))
		return p
	}
	v.printNarrow(p, row)
	return p
}

// printNarrow writes the verdict, and below it the event and the cause.
func (v *listenView) printNarrow(p *ui.Printer, row []ui.Cell) {
	most := v.Width - ui.TotalWidth(v.widths[:4]) + v.widths[3]
	row[3].Text = shortenedTo(row[3].Text, most)
	p.Linef("%s", strings.TrimRight(ui.FormatRow(row[:4], v.widths), " "))
	const indent = len("15:04:05") + ui.ColumnGap
	painted := func(c ui.Cell) string {
		if c.Paint == nil {
			return ui.Clean(c.Text)
		}
		return c.Paint(ui.Clean(c.Text))
	}
	source, typ, id := painted(row[4]), painted(row[5]), painted(row[6])
	if row[4].Text != "-" || row[5].Text != "-" || row[6].Text != "-" {
		p.Hanging(id+" "+v.Dim("of type")+" "+typ+" "+v.Dim("from")+" "+source, indent, indent, v.Width)
	}
	if row[7].Text != "" {
		p.Hanging(v.Dim(ui.Clean(row[7].Text)), indent, indent, v.Width)
	}
}

func (v *listenView) grow(row []ui.Cell) {
	for i := range v.widths {
		v.widths[i] = max(v.widths[i], ui.Width(ui.Clean(row[i].Text)))
	}
}

func (v *listenView) row(h *heard) []ui.Cell {
	at, _ := time.Parse(time.RFC3339, h.Time) // our own
	cells := []ui.Cell{
		ui.Painted(at.Format(time.TimeOnly), v.Dim), ui.Painted(h.Verdict, v.VerdictPaint(h.Verdict)),
		ui.Painted(string(h.Reason), v.Bold), ui.Painted(shortened(h.Producer), nil),
		ui.Painted(shortened(h.Source), nil), ui.Painted(shortened(h.Type), nil),
		ui.Painted(shortened(h.ID), nil), ui.Painted(shortenedTo(h.Cause, 160), v.Dim),
	}
	if h.Cause == "" && len(h.Ignored) > 0 {
		cells[7] = ui.Painted(shortenedTo("ignored, added on the way: "+strings.Join(h.Ignored, " "), 160),
			v.Dim)
	}
	if u := h.Unverified; u != nil {
		source, typ := v.widths[4], v.widths[5]
		if v.narrow() {
			source, typ = mostFolded, mostFolded
		}
		cells[4], cells[5], cells[6] = v.unverified(u.Source, source), v.unverified(u.Type, typ),
			v.unverified(u.ID, mostShown)
	}
	for i := range cells[:7] {
		if cells[i].Text == "" {
			cells[i] = ui.Painted("-", v.Dim)
		}
	}
	return cells
}

// unverified marks what an event claims. It is cut to the column: who may post may not push the lines apart.
func (v *listenView) unverified(text string, most int) ui.Cell {
	if text == "" {
		return ui.Cell{}
	}
	return ui.Painted("?"+shortenedTo(text, most-1), v.Yellow)
}

func shortened(text string) string { return shortenedTo(text, mostShown) }

// shortenedTo cuts text, made harmless, to so many characters.
func shortenedTo(text string, most int) string {
	runes := []rune(ui.Clean(text))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
