package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// emit writes a result: v as one line of JSON with --output json, else what text prints.
func (a *app) emit(v any, text func(*printer)) error {
	if a.json {
		return a.writeJSON(v)
	}
	p := &printer{style: a.out}
	text(p)
	return a.writeOut([]byte(p.String()))
}

// writeJSON writes v as one line of JSON.
func (a *app) writeJSON(v any) error {
	line, err := jsonLine(v)
	if err != nil {
		return unavailable("report this as a bug", "writing the result: %w", err)
	}
	return a.writeOut(line)
}

// jsonLine is v as one line of JSON, which is harmless on a terminal: encoding/json escapes no more than the control
// characters below the space.
func jsonLine(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	line := make([]byte, 0, len(text)+1)
	for _, c := range text {
		if !unprintable(c) {
			line = utf8.AppendRune(line, c)
			continue
		}
		for _, unit := range utf16.Encode([]rune{c}) { // it stands in a string: nothing else in JSON is unprintable
			line = fmt.Appendf(line, `\u%04x`, unit)
		}
	}
	return append(line, '\n'), nil
}

// writeOut writes data to standard output as it is.
func (a *app) writeOut(data []byte) error {
	if _, err := a.stdout.Write(data); err != nil {
		return unavailable("check where standard output goes", "writing to standard output: %w", cause(err))
	}
	return nil
}

// sayf writes a line for people to standard error.
func (a *app) sayf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "sealbus: %s\n", clean(fmt.Sprintf(format, args...)))
}

// warnf writes a line that people must not miss to standard error.
func (a *app) warnf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "%s %s\n", a.talk.yellow("sealbus: warning:"), clean(fmt.Sprintf(format, args...)))
}

// printer collects text for people.
type printer struct {
	style
	b strings.Builder
}

func (p *printer) String() string { return p.b.String() }

// linef adds a line. Untrusted text among args goes through clean or %q first.
func (p *printer) linef(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

// style colours text, or leaves it alone.
type style struct{ colour bool }

func (s style) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
func (s style) cyan(text string) string   { return s.paint("36", text) }

// clean makes untrusted text harmless on a terminal: what is not printable is escaped.
func clean(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if unprintable(c) || c == utf8.RuneError {
			quoted := fmt.Sprintf("%+q", c)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func unprintable(c rune) bool { return !unicode.IsPrint(c) }

// cell is one field of a table: text, and how it is painted (nil = plain).
type cell struct {
	text  string
	paint func(string) string
}

// table is text in aligned columns, without lines around it.
type table struct {
	header []string
	rows   [][]cell
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

// print writes the table, header dimmed. Text is made harmless here, so that callers can pass what they read.
func (t *table) print(p *printer) {
	head := plain(t.header...)
	for i := range head {
		head[i].paint = p.dim
	}
	rows := t.rows
	if len(head) > 0 {
		rows = append([][]cell{head}, rows...)
	}
	widths := columnWidths(rows)
	for _, row := range rows {
		p.linef("%s", strings.TrimRight(formatRow(row, widths), " "))
	}
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

func formatRow(row []cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		text := clean(c.text)
		pad := ""
		if i < len(row)-1 {
			pad = strings.Repeat(" ", widths[i]-width(text)+2)
		}
		if c.paint != nil {
			text = c.paint(text)
		}
		_, _ = io.WriteString(&b, text+pad)
	}
	return b.String()
}

func width(text string) int { return utf8.RuneCountInString(text) }

// count is "1 key", "2 keys".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
