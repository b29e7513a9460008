package ui

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// DefaultWidth is how wide text is where no terminal says how wide it is.
const DefaultWidth = 80

// narrowest and widestProse bound how wide text is set: a terminal of 10 columns breaks every word, and lines
// of 200 are hard to read. Tables use all of a wide terminal.
const (
	narrowest   = 40
	WidestProse = 100
)

// Style is how text for people looks on one stream.
type Style struct {
	Colour bool
	Width  int // columns of the terminal; 0 = it is none, and the lines of a table are as long as they need
}

// Prose is how wide sentences are set, also where there is no terminal.
func (s Style) Prose() int {
	if s.Width == 0 {
		return DefaultWidth
	}
	return min(s.Width, WidestProse)
}

func (s Style) paint(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) Bold(text string) string   { return s.paint("1", text) }
func (s Style) Dim(text string) string    { return s.paint("2", text) }
func (s Style) Red(text string) string    { return s.paint("31", text) }
func (s Style) Green(text string) string  { return s.paint("32", text) }
func (s Style) Yellow(text string) string { return s.paint("33", text) }
func (s Style) Cyan(text string) string   { return s.paint("36", text) }

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
func (s Style) harmless(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if p := paintAt(text[i:]); p != "" && s.Colour {
			b.WriteString(p)
			i += len(p)
			continue
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		if text[i] == '\n' {
			b.WriteByte('\n')
		} else {
			b.WriteString(Clean(text[i : i+n]))
		}
		i += n
	}
	return b.String()
}

// Clean makes untrusted text harmless on a terminal, and one line: what is not printable is escaped.
func Clean(text string) string {
	if strings.IndexFunc(text, Unprintable) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		c, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case Unprintable(c) || c == utf8.RuneError:
			quoted := fmt.Sprintf("%+q", c)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(c)
		}
		i += n
	}
	return b.String()
}

// Unprintable reports whether a terminal could take the character for a command, show it as nothing or as a
// space, or change the order of what stands around it: controls (C0, DEL, C1), bidirectional and other format
// characters, line separators, spaces other than the usual one, private and unassigned characters, and
// letters without a shape.
func Unprintable(c rune) bool {
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point,
		unicode.Variation_Selector) || c == brailleBlank
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
		case c == '\n' || c == '\t' || !Unprintable(c) && c != utf8.RuneError:
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

// Width is how many columns text takes, without its paints.
func Width(text string) int {
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

// Fold breaks text at spaces into lines of at most so many columns: the first, and those after it. A word
// that is longer than a line is broken where the line is full.
func Fold(text string, first, rest int) (lines []string) {
	words := strings.Split(strings.TrimLeft(text, " "), " ")
	line := text[:len(text)-len(strings.TrimLeft(text, " "))] // its own indentation stays
	most, used := max(first, 1), Width(line)
	for i, word := range words {
		size := Width(word)
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
			line, used, most = tail, Width(tail), max(rest, 1)
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
	return strings.Join(Fold(text, most, most-indent), "\n"+strings.Repeat(" ", indent))
}

// Say writes a line for people to standard error. On a terminal it is folded at its words. A word that
// is longer than a line, such as a URL, is left for the terminal to break. Elsewhere each message is one
// line, so that programs find it whole.
func (env *Env) Say(text string, indent int) {
	if env.Talk.Width > 0 {
		text = foldWords(text, env.Talk.Width, indent)
	}
	_, err := fmt.Fprintln(env.stderr, env.Talk.harmless(text))
	env.wrote(err) // where else to say that it failed?
}

// Next says what to do next, and by which command. On a terminal the command is folded so that it can be
// copied.
func (env *Env) Next(what, command string) {
	command = Clean(command)
	if env.Talk.Width == 0 {
		env.Say("sealbus: next: "+command+" ("+Clean(what)+")", 2)
		return
	}
	env.Say("sealbus: next, "+Clean(what)+":", 2)
	const indent = 4
	folded := foldWords("  "+flagAndAnyValue.ReplaceAllString(command, "$1"+unbroken),
		env.Talk.Width-len(" \\"), indent)
	lines := strings.Split(strings.ReplaceAll(folded, unbroken, " "), "\n")
	for _, line := range lines[:len(lines)-1] {
		env.Say(line+" \\", indent)
	}
	env.Say(lines[len(lines)-1], indent)
}

// flagAndAnyValue is a flag and the space before its value, which stays in its line.
var flagAndAnyValue = regexp.MustCompile(`(--[a-z-]+) \b`)

// foldWords is hanging that breaks no word.
func foldWords(text string, most, indent int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Split(text, " ") {
		size := Width(word)
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
