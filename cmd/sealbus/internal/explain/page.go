package explain

import (
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// pageWidth is the width of a line of Markdown.
const pageWidth = 110

const pageHead = `# Reasons

<!-- Made from cmd/sealbus/internal/explain and envelope/reason.go by
     go test ./cmd/sealbus/internal/explain -run TestPage -update -->

Each verdict names a Reason: one stable word. This page has every Reason, its meaning, its causes and its
cures, and says which team can cure it. ` + "`sealbus explain REASON`" + ` prints the same text.

The class of a Reason says what becomes of the event:

| class | the consumer |
|---|---|
| permanent | puts the event into quarantine, with its original bytes, and does not retry it |
| transient | gives the event back; the queue delivers it again, and nothing is lost |
| done | acknowledges the event, which was handled before |
| file | judges no event: a command refuses a file of keys, trust or quarantine |

A refused webhook and a refused caller go to no quarantine: the sender is answered with an HTTP status.

In Go, ` + "`envelope.ReasonOf(err)`" + ` finds the Reason of an error, and ` + "`Reason.Class()`" + ` its class. For the
errors of package webhook it is ` + "`webhook.ReasonOf(err)`" + `. A program never compares the text of an error.

`

// page is docs/reasons.md.
func page() string {
	var b strings.Builder
	b.WriteString(pageHead)
	b.WriteString("| Reason | class | who acts |\n|---|---|---|\n")
	for _, e := range All() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", e.Reason, e.Reason, e.Class, joined(e.Who))
	}
	group := ""
	for _, e := range All() {
		if e.Group != group {
			group = e.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n", e.Reason)
		paragraph(&b, "", sentence(e.Meaning)+" Class: "+e.Class+". Who acts: "+joined(e.Who)+".")
		b.WriteString("\nCauses:\n\n")
		for _, c := range e.Causes {
			paragraph(&b, "- ", c)
		}
		b.WriteString("\nCures:\n\n")
		for _, c := range e.Cures {
			paragraph(&b, "- ", "**"+string(c.By)+"**: "+c.Do)
		}
		if e.Fix != "" {
			b.WriteByte('\n')
			paragraph(&b, "", "A verdict says: *"+e.Fix+"*.")
		}
		if e.Elsewhere != "" {
			b.WriteByte('\n')
			paragraph(&b, "", e.Elsewhere)
		}
	}
	return b.String()
}

// paragraph writes text as lines of Markdown; what follows the first one is indented as far as its mark.
func paragraph(b *strings.Builder, mark, text string) {
	for i, line := range ui.Fold(text, pageWidth-len(mark), pageWidth-len(mark)) {
		if i > 0 {
			mark = strings.Repeat(" ", len(mark))
		}
		b.WriteString(mark + line + "\n")
	}
}

// sentence begins with a capital and ends with a period.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }
