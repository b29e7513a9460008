package main

import (
	"strings"
	"time"
)

// mostShown is how wide a column of the lines of listen becomes: what is longer is cut. JSON has all of it.
const mostShown = 44

// listenView writes aligned lines of what is not known in advance: columns start as wide as usual and grow.
type listenView struct {
	style
	widths []int
	begun  bool
}

func newListenView(s style) listenView {
	return listenView{style: s, widths: []int{len("15:04:05"), len("quarantined"), len("source_not_allowed"), 10, 28, 26, 12}}
}

// line is the line of h, at first with the heading.
func (v *listenView) line(h *heard) string {
	row := v.row(h)
	v.grow(row)
	text := strings.TrimRight(formatRow(row, v.widths), " ") + "\n"
	if v.begun {
		return text
	}
	v.begun = true
	head := plain("TIME", "VERDICT", "REASON", "PRODUCER", "SOURCE", "TYPE", "ID", "")
	return v.dim(strings.TrimRight(formatRow(head, v.widths), " ")) + "\n" + text
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
		cells[4], cells[5], cells[6] = v.unverified(u.Source, v.widths[4]), v.unverified(u.Type, v.widths[5]), v.unverified(u.ID, mostShown)
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

func (v *listenView) verdictPaint(verdict string) func(string) string {
	switch verdict {
	case verdictVerified:
		return v.green
	case verdictDuplicate:
		return v.cyan
	case verdictRetry:
		return v.yellow
	}
	return v.red
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
