package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// defaultWidth is how wide text is where no terminal says how wide it is.
const defaultWidth = 80

// narrowest and widestProse bound how wide text is set: a terminal of 10 columns breaks every word, and lines
// of 200 are hard to read. Tables use all of a wide terminal.
const (
	narrowest   = 40
	widestProse = 100
)

// style is how text for people looks on one stream.
type style struct {
	colour bool
	width  int // columns of the terminal; 0 = it is none, and the lines of a table are as long as they need
}

// prose is how wide sentences are set, also where there is no terminal.
func (s style) prose() int {
	if s.width == 0 {
		return defaultWidth
	}
	return min(s.width, widestProse)
}

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

// verdictPaint is the one colour that each verdict has, in every command.
func (s style) verdictPaint(verdict string) func(string) string {
	switch verdict {
	case verdictVerified:
		return s.green
	case verdictDuplicate:
		return s.cyan
	case verdictRetry, verdictUnavailable:
		return s.yellow
	}
	return s.red
}

// paints are all that paint may write around text.
var paints = []string{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"}

// paintAt is the paint that text begins with; "" = none.
func paintAt(text string) string {
	if len(text) == 0 || text[0] != '\x1b' {
		return ""
	}
	for _, p := range paints {
		if strings.HasPrefix(text, p) {
			return p
		}
	}
	return ""
}

// harmless is the last look at text for people: beside letters there are newlines and the paints of this
// program in it. Each value was cleaned before; this holds for those that a command forgets.
func (s style) harmless(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if p := paintAt(text[i:]); p != "" && s.colour {
			b.WriteString(p)
			i += len(p)
			continue
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		if text[i] == '\n' {
			b.WriteByte('\n')
		} else {
			b.WriteString(clean(text[i : i+n]))
		}
		i += n
	}
	return b.String()
}

// clean makes untrusted text harmless on a terminal, and one line: what is not printable is escaped.
func clean(text string) string {
	if strings.IndexFunc(text, unprintable) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unprintable(c) || c == utf8.RuneError:
			quoted := fmt.Sprintf("%+q", c)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(c)
		}
		i += n
	}
	return b.String()
}

// unprintable reports whether a terminal could take the character for a command, show it as nothing or as a
// space, or change the order of what stands around it: controls (C0, DEL, C1), bidirectional and other format
// characters, line separators, spaces other than the usual one, private and unassigned characters, and
// letters without a shape.
func unprintable(c rune) bool {
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || c == brailleBlank
}

const brailleBlank = '\u2800'

// harmlessJSON escapes what is not printable in JSON, which then means the same: it can only stand in
// strings. Outside of them there are spaces, tabs and newlines, which stay, and carriage returns, which go.
// Bytes that are not UTF-8 become U+FFFD, as each reader of JSON takes them.
func harmlessJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for i := 0; i < len(doc); {
		c, n := utf8.DecodeRune(doc[i:])
		i += n
		switch {
		case c == '\n' || c == '\t' || !unprintable(c) && c != utf8.RuneError:
			out = utf8.AppendRune(out, c)
		case c == '\r':
		default:
			for _, unit := range utf16.Encode([]rune{c}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
	}
	return out
}

// width is how many columns text takes, without its paints.
func width(text string) int {
	n := 0
	for i := 0; i < len(text); {
		if p := paintAt(text[i:]); p != "" {
			i += len(p)
			continue
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		n += runeWidth(c)
		i += size
	}
	return n
}

func runeWidth(c rune) int {
	switch {
	case unicode.In(c, unicode.Mn, unicode.Me):
		return 0
	case c < 0x1100:
		return 1
	case unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul),
		c >= 0x3000 && c <= 0x303f, c >= 0xff01 && c <= 0xff60, c >= 0x1f300 && c <= 0x1faff:
		return 2
	}
	return 1
}

// fold breaks text at spaces into lines of at most so many columns: the first, and those after it. A word
// that is longer than a line is broken where the line is full.
func fold(text string, first, rest int) (lines []string) {
	words := strings.Split(strings.TrimLeft(text, " "), " ")
	line := text[:len(text)-len(strings.TrimLeft(text, " "))] // its own indentation stays
	most, used := max(first, 1), width(line)
	for i, word := range words {
		size := width(word)
		if i > 0 && used+1+size > most {
			lines = append(lines, strings.TrimRight(line, " "))
			line, used, most = "", 0, max(rest, 1)
		} else if i > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+size
		for used > most {
			head, tail := cut(line, most)
			lines = append(lines, head)
			line, used, most = tail, width(tail), max(rest, 1)
		}
	}
	return append(lines, strings.TrimRight(line, " "))
}

// cut cuts text after so many columns. It makes progress: one character is taken in any case.
func cut(text string, most int) (head, rest string) {
	used := 0
	for i := 0; i < len(text); {
		if p := paintAt(text[i:]); p != "" {
			i += len(p)
			continue
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		if used += runeWidth(c); used > most && i > 0 {
			return text[:i], text[i:]
		}
		i += size
	}
	return text, ""
}

// hanging folds text, all lines after the first indented.
func hanging(text string, most, indent int) string {
	return strings.Join(fold(text, most, most-indent), "\n"+strings.Repeat(" ", indent))
}

// say writes a line for people to standard error. On a terminal it is folded at its words. What is longer
// than a line there, such as a URL or a command to paste, is left for the terminal to break; elsewhere each
// message is one line, so that programs find it whole.
func (a *app) say(text string, indent int) {
	if a.talk.width > 0 {
		text = foldWords(text, a.talk.width, indent)
	}
	_, _ = fmt.Fprintln(a.stderr, a.talk.harmless(text)) // where else to say that it failed?
}

// next says what to do next, and by which command. On a terminal the command is folded so that it can be
// copied.
func (a *app) next(what, command string) {
	command = clean(command)
	if a.talk.width == 0 {
		a.say("sealbus: next: "+command+" ("+clean(what)+")", 2)
		return
	}
	a.say("sealbus: next, "+clean(what)+":", 2)
	const indent = 4
	lines := strings.Split(foldWords("  "+command, a.talk.width-len(" \\"), indent), "\n")
	for _, line := range lines[:len(lines)-1] {
		a.say(line+" \\", indent)
	}
	a.say(lines[len(lines)-1], indent)
}

// foldWords is hanging that breaks no word.
func foldWords(text string, most, indent int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Split(text, " ") {
		size := width(word)
		switch {
		case i == 0:
		case used > indent && used+1+size > most:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += size
	}
	return b.String()
}
