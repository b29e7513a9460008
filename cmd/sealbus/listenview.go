package main

import (
	"strings"
	"time"
)

// mostShown is how wide a column of the lines of listen becomes: what is longer is cut. JSON has all of it.
const mostShown = 44

// mostFolded is how much of a claim is shown where it is folded.
const mostFolded = 120

// listenView writes aligned lines of what is not known in advance: columns start as wide as usual and grow.
// On a terminal that is too narrow for that, an event has a line for the verdict, and lines below it for the
// rest.
type listenView struct {
	style
	widths []int
	begun  bool
}

// oneLine is from which width of a terminal on an event is one line.
const oneLine = 160

func newListenView(s style) listenView {
	return listenView{style: s, widths: []int{len("15:04:05"), len("quarantined"), len("source_not_allowed"), 10, 28, 26, 12}}
}

func (v *listenView) narrow() bool { return v.width > 0 && v.width < oneLine }

// line is the line of h, at first with the heading.
func (v *listenView) line(h *heard) *printer {
	p := &printer{style: v.style}
	row := v.row(h)
	head := plain("TIME", "VERDICT", "REASON", "PRODUCER", "SOURCE", "TYPE", "ID", "")
	narrow := v.narrow()
	if !narrow {
		v.grow(row)
	}
	if !v.begun {
		v.begun = true
		if narrow {
			head = head[:4]
		}
		p.linef("%s", v.dim(strings.TrimRight(formatRow(head, v.widths), " ")))
	}
	if !narrow {
		p.linef("%s", strings.TrimRight(formatRow(row, v.widths), " "))
		return p
	}
	v.printNarrow(p, row)
	return p
}

// printNarrow writes the verdict, and below it the event and the cause.
func (v *listenView) printNarrow(p *printer, row []cell) {
	most := v.width - total(v.widths[:4]) + v.widths[3]
	row[3].text = shortenedTo(row[3].text, most)
	p.linef("%s", strings.TrimRight(formatRow(row[:4], v.widths), " "))
	const indent = len("15:04:05") + columnGap
	painted := func(c cell) string {
		if c.paint == nil {
			return clean(c.text)
		}
		return c.paint(clean(c.text))
	}
	source, typ, id := painted(row[4]), painted(row[5]), painted(row[6])
	if row[4].text != "-" || row[5].text != "-" || row[6].text != "-" {
		p.hanging(id+" "+v.dim("of type")+" "+typ+" "+v.dim("from")+" "+source, indent, indent, v.width)
	}
	if row[7].text != "" {
		p.hanging(v.dim(clean(row[7].text)), indent, indent, v.width)
	}
}

func (v *listenView) grow(row []cell) {
	for i := range v.widths {
		v.widths[i] = max(v.widths[i], width(clean(row[i].text)))
	}
}

func (v *listenView) row(h *heard) []cell {
	at, _ := time.Parse(time.RFC3339, h.Time) // our own
	cells := []cell{
		{at.Format(time.TimeOnly), v.dim}, {h.Verdict, v.verdictPaint(h.Verdict)}, {string(h.Reason), v.bold}, {shortened(h.Producer), nil},
		{shortened(h.Source), nil}, {shortened(h.Type), nil}, {shortened(h.ID), nil}, {shortenedTo(h.Cause, 160), v.dim},
	}
	if h.Cause == "" && len(h.Ignored) > 0 {
		cells[7] = cell{shortenedTo("ignored, added on the way: "+strings.Join(h.Ignored, " "), 160), v.dim}
	}
	if u := h.Unverified; u != nil {
		source, typ := v.widths[4], v.widths[5]
		if v.narrow() {
			source, typ = mostFolded, mostFolded
		}
		cells[4], cells[5], cells[6] = v.unverified(u.Source, source), v.unverified(u.Type, typ), v.unverified(u.ID, mostShown)
	}
	for i := range cells[:7] {
		if cells[i].text == "" {
			cells[i] = cell{"-", v.dim}
		}
	}
	return cells
}

// unverified marks what an event claims. It is cut to the column: who may post may not push the lines apart.
func (v *listenView) unverified(text string, most int) cell {
	if text == "" {
		return cell{}
	}
	return cell{"?" + shortenedTo(text, most-1), v.yellow}
}

func shortened(text string) string { return shortenedTo(text, mostShown) }

// shortenedTo cuts text, made harmless, to so many characters.
func shortenedTo(text string, most int) string {
	runes := []rune(clean(text))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
