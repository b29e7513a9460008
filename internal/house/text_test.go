package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// maxColumns is the width of a line of Markdown or of a comment.
const maxColumns = 110

// wordsToAvoid make a sentence hard to read, and each has a plain replacement.
var wordsToAvoid = map[string]string{
	"whoever":  `say who it is: "the holder of the key", "an attacker", "a program that"`,
	"nobody":   `say "no one" or name the role: "no producer may"`,
	"somebody": `name the role: "an operator", "an attacker", "another program"`,
	"in vain":  `say what happened: "without an answer", "without effect"`,
}

var (
	avoided      = regexp.MustCompile(`(?i)\b(whoever|nobody|somebody|in\s+vain)\b`)
	what         = regexp.MustCompile(`\bWhat\s[^.?!]*[.?!]?`)
	inlineCode   = regexp.MustCompile("`[^`]*`")
	link         = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	linkTarget   = regexp.MustCompile(`(?m)^\[[^\]]+\]: (\S+)$`)
	directive    = regexp.MustCompile(`^//[a-z]+:`)
	heading      = regexp.MustCompile(`^#+ +(.*)$`)
	listOrIndent = regexp.MustCompile(`^(\s*([-*]|\d+\.)\s|\s)`)
)

// unplain is each word to avoid in a text, and each sentence that begins with "What" and is no question.
func unplain(text string) (found []string) {
	text = inlineCode.ReplaceAllString(text, "code")
	for _, word := range avoided.FindAllString(text, -1) {
		plain := strings.Join(strings.Fields(strings.ToLower(word)), " ")
		found = append(found, fmt.Sprintf("%q: %s", word, wordsToAvoid[plain]))
	}
	for _, sentence := range what.FindAllString(text, -1) {
		if !strings.HasSuffix(sentence, "?") {
			found = append(found, fmt.Sprintf("a sentence begins with What: %.60q", sentence))
		}
	}
	return found
}

// markdown is a Markdown file, taken apart.
type markdown struct {
	prose   string          // without headings and blocks of code
	lines   map[int]string  // the lines that have a width to keep: no code and no tables
	anchors map[string]bool // of its headings, as GitHub names them
}

func readMarkdown(text string) markdown {
	m := markdown{lines: map[int]string{}, anchors: map[string]bool{}}
	var prose strings.Builder
	fenced, blank, indented := false, true, false
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		// Indented code follows a blank line. A paragraph of a list item is indented, too, and is prose.
		indented = strings.HasPrefix(line, "    ") && (blank || indented) &&
			!listOrIndent.MatchString(strings.TrimSpace(line))
		blank = strings.TrimSpace(line) == ""
		switch title := heading.FindStringSubmatch(line); {
		case fenced || indented && !blank:
		case title != nil:
			m.anchors[m.anchor(title[1])] = true
			m.lines[number] = line
		default:
			prose.WriteString(line + "\n")
			if !strings.HasPrefix(line, "|") {
				m.lines[number] = line
			}
		}
	}
	m.prose = prose.String()
	return m
}

// anchor is GitHub's name for a heading: letters, digits, hyphens and underscores, spaces as hyphens.
func (m *markdown) anchor(title string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return r
		}
		return -1
	}, strings.ToLower(title))
	if !m.anchors[name] {
		return name
	}
	for i := 1; ; i++ {
		if numbered := fmt.Sprintf("%s-%d", name, i); !m.anchors[numbered] {
			return numbered
		}
	}
}

// TestMarkdownIsPlain holds every Markdown file to the width, and to words that a reader knows.
func TestMarkdownIsPlain(t *testing.T) {
	files := filesNamed(t, ".md")
	if len(files) < 10 {
		t.Fatalf("found only %d Markdown files", len(files))
	}
	for name, text := range files {
		m := readMarkdown(text)
		for _, why := range unplain(m.prose) {
			t.Errorf("%s: %s", name, why)
		}
		for number, line := range m.lines {
			if n := utf8.RuneCountInString(line); n > maxColumns &&
				strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s:%d has %d columns, at most %d are allowed", name, number, n, maxColumns)
			}
		}
	}
}

// TestMarkdownLinksLeadSomewhere: each relative link names a file that exists, and a heading in it.
func TestMarkdownLinksLeadSomewhere(t *testing.T) {
	files := filesNamed(t, ".md")
	parsed := map[string]markdown{}
	for name, text := range files {
		parsed[name] = readMarkdown(text)
	}
	checked := 0
	for name, m := range parsed {
		prose := inlineCode.ReplaceAllString(m.prose, "code")
		for _, found := range append(link.FindAllStringSubmatch(prose, -1),
			linkTarget.FindAllStringSubmatch(prose, -1)...) {
			target := found[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			checked++
			path, anchor, hasAnchor := strings.Cut(target, "#")
			file := name
			if path != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(name), path))
			}
			if _, err := os.Stat(filepath.Join("..", "..", file)); err != nil {
				t.Errorf("%s links %s, which does not exist", name, target)
			} else if hasAnchor && !parsed[file].anchors[anchor] {
				t.Errorf("%s links %s, and %s has no such heading", name, target, file)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d links were checked", checked)
	}
}

// TestCommentsArePlain holds Go comments to the same words and the same width.
func TestCommentsArePlain(t *testing.T) {
	checked := 0
	for name, text := range filesNamed(t, ".go") {
		checked++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range file.Comments {
			at := set.Position(group.Pos())
			for _, why := range unplain(commentProse(group)) {
				t.Errorf("%s:%d: %s", name, at.Line, why)
			}
			for _, comment := range group.List {
				if directive.MatchString(comment.Text) {
					continue
				}
				begins := set.Position(comment.Pos())
				if n := begins.Column - 1 + utf8.RuneCountInString(comment.Text); n > maxColumns &&
					strings.Contains(strings.TrimPrefix(comment.Text, "// "), " ") {
					t.Errorf("%s:%d: the line has %d columns, at most %d are allowed", name, begins.Line, n,
						maxColumns)
				}
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d files were checked", checked)
	}
}

// commentProse is a comment without its headings, its code and its directives.
func commentProse(group *ast.CommentGroup) string {
	var prose strings.Builder
	for line := range strings.Lines(group.Text()) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "\t") {
			prose.WriteString(line)
		}
	}
	return prose.String()
}

var (
	specSection  = regexp.MustCompile(`\bSPEC(?:\.md)?,?\s+sections?\s+(\d+(?:\.\d+)?)`)
	ownSection   = regexp.MustCompile(`(?:(RFC\s\S+|SP\s\S+)\s+)?\bsections?\s+(\d+(?:\.\d+)?)`)
	numberedHead = regexp.MustCompile(`(?m)^##+ (\d+(?:\.\d+)?)\.? `)
)

// TestSectionsOfSPECExist: comments, errors and documents cite sections of SPEC.md that it has.
func TestSectionsOfSPECExist(t *testing.T) {
	texts := filesNamed(t, ".md")
	spec := texts["SPEC.md"]
	sections := map[string]bool{}
	for _, found := range numberedHead.FindAllStringSubmatch(spec, -1) {
		sections[found[1]] = true
	}
	checked := 0
	check := func(name, section string) {
		if checked++; !sections[section] {
			t.Errorf("%s cites section %s of SPEC.md, which does not exist", name, section)
		}
	}
	for _, found := range ownSection.FindAllStringSubmatch(spec, -1) {
		if found[1] == "" { // not of an RFC
			check("SPEC.md", found[2])
		}
	}
	maps.Copy(texts, filesNamed(t, ".go"))
	for name, text := range texts {
		for _, found := range specSection.FindAllStringSubmatch(text, -1) {
			check(name, found[1])
		}
	}
	if checked < 25 {
		t.Errorf("only %d citations were checked", checked)
	}
}

// TestPlainWordsAreSeen shows that the checks above can fail.
func TestPlainWordsAreSeen(t *testing.T) {
	for text, want := range map[string]int{
		"Whoever holds the key signs.":            1,
		"It asks in\nvain.":                       1,
		"What outlasts them is lost.":             1,
		"What outlasts them?":                     0,
		"It says what outlasts them. `Whoever` x": 0,
		"Nobody may. What else\nmay is somebody.": 3,
	} {
		if found := unplain(text); len(found) != want {
			t.Errorf("%q has %q, %d were expected", text, found, want)
		}
	}
	m := readMarkdown("# A title: `x`\n\nprose\n\n    code whoever\n\n- item\n\n    more\n\n```sh\nwhoever\n```\n\n# A title: `x`\n")
	if !m.anchors["a-title-x"] || !m.anchors["a-title-x-1"] || strings.Contains(m.prose, "whoever") {
		t.Errorf("read as %+v", m)
	}
}
