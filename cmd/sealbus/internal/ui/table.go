package ui

import (
	"fmt"
	"strings"
)

// Cell is one field of a table: text, and how it is painted (nil = plain).
type Cell struct {
	Text  string
	Paint func(string) string
}

// Painted is text that is painted so; nil = plain.
func Painted(text string, paint func(string) string) Cell { return Cell{Text: text, Paint: paint} }

// Table is text in aligned columns, without lines around it. Where the terminal is too narrow for it, the
// columns that may be folded are: their text goes on in the lines below.
type Table struct {
	Header []string
	Rows   [][]Cell
	Folds  []int               // columns that may be folded; nil = the last one
	Below  map[int]string      // text below a row, indented, by the row's number; the header counts
	Lists  map[int][][2]string // names and values below a row, likewise
}

func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Cells makes cells without paint.
func Cells(texts ...string) []Cell {
	cells := make([]Cell, len(texts))
	for i, text := range texts {
		cells[i].Text = text
	}
	return cells
}

// Print writes the table, header dimmed, no wider than the terminal. Text is made harmless here, so that
// callers can pass what they read.
func (t *Table) Print(p *Printer) { t.printWidth(p, p.Width) }

// PrintProse is print for tables that are mostly sentences: they are folded where there is no terminal, too.
func (t *Table) PrintProse(p *Printer) { t.printWidth(p, p.Prose()) }

func (t *Table) printWidth(p *Printer, most int) {
	rows := t.All(p.Style)
	widths := t.Fit(ColumnWidths(rows), most)
	for i, row := range rows {
		for _, line := range FoldRow(row, widths) {
			p.Linef("%s", line)
		}
		if text := t.Below[i]; text != "" {
			p.Hanging(p.Dim(Clean(text)), BelowIndent, BelowIndent, most)
		}
		for _, item := range t.Lists[i] {
			p.Hanging(p.Dim(fmt.Sprintf("%-9s", item[0]))+" "+Clean(item[1]), BelowIndent, BelowIndent+
				10, most)
		}
	}
}

// BelowIndent is how far text below a row is indented.
const BelowIndent = 4

// All is the rows with the header.
func (t *Table) All(s Style) [][]Cell {
	if len(t.Header) == 0 {
		return t.Rows
	}
	head := Cells(t.Header...)
	for i := range head {
		head[i].Paint = s.Dim
	}
	return append([][]Cell{head}, t.Rows...)
}

// Fits reports whether nothing would have to be folded.
func (t *Table) Fits(s Style) bool {
	return s.Width == 0 || TotalWidth(ColumnWidths(t.All(s))) <= s.Width
}

// ColumnGap is between two columns.
const ColumnGap = 2

func TotalWidth(widths []int) int {
	n := 0
	for _, w := range widths {
		n += w + ColumnGap
	}
	return n - ColumnGap
}

// narrowestColumn is how narrow a column is folded.
const narrowestColumn = 12

// Fit makes the columns that may be folded narrower, the widest first, until all of them fit; 0 = anything
// fits.
func (t *Table) Fit(widths []int, most int) []int {
	folds := t.Folds
	if folds == nil {
		folds = []int{len(widths) - 1}
	}
	for over := TotalWidth(widths) - most; most > 0 && over > 0; over-- {
		widest := -1
		for _, i := range folds {
			if i >= 0 && i < len(widths) && widths[i] > narrowestColumn &&
				(widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

func ColumnWidths(rows [][]Cell) []int {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(Clean(c.Text)))
		}
	}
	return widths
}

// FoldRow is a row as lines: as many as its longest folded cell has.
func FoldRow(row []Cell, widths []int) []string {
	parts, height := make([][]string, len(row)), 1
	for i, c := range row {
		text := Clean(c.Text)
		if i > 0 || !strings.HasPrefix(text, " ") {
			parts[i] = Fold(text, widths[i], widths[i])
		} else { // it is indented, and what follows hangs
			parts[i] = strings.Split(hanging(text, widths[i], BelowIndent), "\n")
		}
		height = max(height, len(parts[i]))
	}
	lines := make([]string, height)
	for n := range lines {
		line := make([]Cell, len(row))
		for i, c := range row {
			if n < len(parts[i]) {
				line[i] = Cell{parts[i][n], c.Paint}
			}
		}
		lines[n] = strings.TrimRight(FormatRow(line, widths), " ")
	}
	return lines
}

// FormatRow is a row in one line.
func FormatRow(row []Cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		text := Clean(c.Text)
		pad := ""
		if i < len(row)-1 {
			pad = strings.Repeat(" ", max(0, widths[i]-Width(text))+ColumnGap)
		}
		if c.Paint != nil {
			text = c.Paint(text)
		}
		b.WriteString(text + pad)
	}
	return b.String()
}
