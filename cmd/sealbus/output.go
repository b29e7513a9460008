package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// emit writes a result: v as one line of JSON with --output json, else what text prints.
func (a *app) emit(v any, text func(*printer)) error {
	if a.json {
		return a.writeJSON(v)
	}
	p := &printer{style: a.out}
	text(p)
	return a.writeText(p)
}

// writeJSON writes v as one line of JSON.
func (a *app) writeJSON(v any) error {
	line, err := jsonLine(v)
	if err != nil {
		return unavailable("report this as a bug", "writing the result: %w", err)
	}
	return a.writeRaw(line)
}

// jsonLine is v as one line of JSON, which is harmless on a terminal wherever it ends up: encoding/json
// escapes no more than the control characters below the space.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return harmlessJSON(b.Bytes()), nil
}

// writeOut writes data, which is JSON, to standard output: byte for byte into a pipe or file. On a terminal
// what is not printable is escaped, since the terminal would obey it.
func (a *app) writeOut(data []byte) error {
	if a.onTerminal() {
		data = harmlessJSON(data)
	}
	return a.writeRaw(data)
}

// writeText writes text for people to standard output.
func (a *app) writeText(p *printer) error { return a.writeRaw([]byte(p.harmless(p.String()))) }

// writeRaw writes to standard output what was made harmless, or must not be changed.
func (a *app) writeRaw(data []byte) error {
	if _, err := a.stdout.Write(data); err != nil {
		return unavailable("check where standard output goes", "writing to standard output: %w", cause(err))
	}
	return nil
}

// dataWriter is writeOut for what wants an io.Writer.
func (a *app) dataWriter() io.Writer { return dataWriter{a} }

type dataWriter struct{ app *app }

func (w dataWriter) Write(data []byte) (int, error) { return len(data), w.app.writeOut(data) }

// talkWriter is standard error for what wants an io.Writer.
func (a *app) talkWriter() io.Writer { return talkWriter{a} }

type talkWriter struct{ app *app }

func (w talkWriter) Write(text []byte) (int, error) {
	_, err := io.WriteString(w.app.stderr, w.app.talk.harmless(string(text)))
	return len(text), err
}

// sayf writes a line for people to standard error.
func (a *app) sayf(format string, args ...any) {
	a.say("sealbus: "+clean(fmt.Sprintf(format, args...)), 2)
}

// warnf writes a line that people must not miss to standard error.
func (a *app) warnf(format string, args ...any) {
	a.say(a.talk.yellow("sealbus: warning:")+" "+clean(fmt.Sprintf(format, args...)), 2)
}

// printer collects text for people.
type printer struct {
	style
	b strings.Builder
}

func (p *printer) String() string { return p.b.String() }

// hangingf adds a line, folded at the terminal's width, that goes on indented.
func (p *printer) hangingf(indent int, format string, args ...any) {
	p.hanging(fmt.Sprintf(format, args...), 0, indent, p.width)
}

// hanging adds text as lines of at most so many columns; 0 = one line.
func (p *printer) hanging(text string, first, rest, most int) {
	text = strings.Repeat(" ", first) + text
	if most > 0 {
		text = hanging(text, most, rest)
	}
	p.linef("%s", text)
}

// linef adds a line. Untrusted text among args goes through clean or %q first.
func (p *printer) linef(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// cell is one field of a table: text, and how it is painted (nil = plain).
type cell struct {
	text  string
	paint func(string) string
}

// table is text in aligned columns, without lines around it. Where the terminal is too narrow for it, the
// columns that may be folded are: their text goes on in the lines below.
type table struct {
	header []string
	rows   [][]cell
	folds  []int               // columns that may be folded; nil = the last one
	below  map[int]string      // text below a row, indented, by the row's number; the header counts
	lists  map[int][][2]string // names and values below a row, likewise
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// plain makes cells without paint.
func plain(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, text := range texts {
		cells[i].text = text
	}
	return cells
}

// print writes the table, header dimmed, no wider than the terminal. Text is made harmless here, so that
// callers can pass what they read.
func (t *table) print(p *printer) { t.printWidth(p, p.width) }

// printProse is print for tables that are mostly sentences: they are folded where there is no terminal, too.
func (t *table) printProse(p *printer) { t.printWidth(p, p.prose()) }

func (t *table) printWidth(p *printer, most int) {
	rows := t.all(p.style)
	widths := t.fit(columnWidths(rows), most)
	for i, row := range rows {
		for _, line := range foldRow(row, widths) {
			p.linef("%s", line)
		}
		if text := t.below[i]; text != "" {
			p.hanging(p.dim(clean(text)), belowIndent, belowIndent, most)
		}
		for _, item := range t.lists[i] {
			p.hanging(p.dim(fmt.Sprintf("%-9s", item[0]))+" "+clean(item[1]), belowIndent, belowIndent+10, most)
		}
	}
}

// belowIndent is how far text below a row is indented.
const belowIndent = 4

// all is the rows with the header.
func (t *table) all(s style) [][]cell {
	if len(t.header) == 0 {
		return t.rows
	}
	head := plain(t.header...)
	for i := range head {
		head[i].paint = s.dim
	}
	return append([][]cell{head}, t.rows...)
}

// fits reports whether nothing would have to be folded.
func (t *table) fits(s style) bool {
	return s.width == 0 || total(columnWidths(t.all(s))) <= s.width
}

// columnGap is between two columns.
const columnGap = 2

func total(widths []int) int {
	n := 0
	for _, w := range widths {
		n += w + columnGap
	}
	return n - columnGap
}

// narrowestColumn is how narrow a column is folded.
const narrowestColumn = 12

// fit makes the columns that may be folded narrower, the widest first, until all of them fit; 0 = anything
// fits.
func (t *table) fit(widths []int, most int) []int {
	folds := t.folds
	if folds == nil {
		folds = []int{len(widths) - 1}
	}
	for over := total(widths) - most; most > 0 && over > 0; over-- {
		widest := -1
		for _, i := range folds {
			if i >= 0 && i < len(widths) && widths[i] > narrowestColumn && (widest < 0 || widths[i] > widths[widest]) {
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

func columnWidths(rows [][]cell) []int {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(clean(c.text)))
		}
	}
	return widths
}

// foldRow is a row as lines: as many as its longest folded cell has.
func foldRow(row []cell, widths []int) []string {
	parts, height := make([][]string, len(row)), 1
	for i, c := range row {
		text := clean(c.text)
		if i > 0 || !strings.HasPrefix(text, " ") {
			parts[i] = fold(text, widths[i], widths[i])
		} else { // it is indented, and what follows hangs
			parts[i] = strings.Split(hanging(text, widths[i], belowIndent), "\n")
		}
		height = max(height, len(parts[i]))
	}
	lines := make([]string, height)
	for n := range lines {
		line := make([]cell, len(row))
		for i, c := range row {
			if n < len(parts[i]) {
				line[i] = cell{parts[i][n], c.paint}
			}
		}
		lines[n] = strings.TrimRight(formatRow(line, widths), " ")
	}
	return lines
}

// formatRow is a row in one line.
func formatRow(row []cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		text := clean(c.text)
		pad := ""
		if i < len(row)-1 {
			pad = strings.Repeat(" ", max(0, widths[i]-width(text))+columnGap)
		}
		if c.paint != nil {
			text = c.paint(text)
		}
		b.WriteString(text + pad)
	}
	return b.String()
}

// count is "1 key", "2 keys".
func count(n int, what string) string { return countOf(n, what, what+"s") }

// countOf is count for words with another plural.
func countOf(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}
