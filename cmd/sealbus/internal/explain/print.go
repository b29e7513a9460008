package explain

import (
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// labelled is how far the text stands behind its label.
const labelled = 10

func printOne(p *ui.Printer, e Explanation) {
	p.Linef("%s  %s", p.Bold(e.Reason), classPaint(p, e.Class)(e.Class))
	line := func(label, text string) {
		p.Hanging(p.Dim(label)+strings.Repeat(" ", labelled-len(label))+text, 0, labelled, p.Prose())
	}
	line("meaning", e.Meaning)
	line("then", e.Next)
	line("who acts", joined(e.Who))
	p.Linef("\n%s", p.Bold("Causes"))
	for _, c := range e.Causes {
		p.Hanging("- "+c, 2, 4, p.Prose())
	}
	p.Linef("\n%s", p.Bold("Cures"))
	for _, c := range e.Cures {
		p.Hanging("- "+p.Cyan(string(c.By))+": "+c.Do, 2, 4, p.Prose())
	}
	if e.Elsewhere != "" {
		p.Linef("\n%s", p.Bold("Elsewhere"))
		p.Hanging(e.Elsewhere, 2, 2, p.Prose())
	}
	p.Linef("\n%s", p.Dim(e.Page))
}

func classPaint(p *ui.Printer, class string) func(string) string {
	return map[string]func(string) string{"permanent": p.Red, "file": p.Red, "transient": p.Yellow,
		"done": p.Cyan}[class]
}

func joined(list []role) string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}

func printList(p *ui.Printer) {
	var t ui.Table
	for _, e := range All() {
		t.Add(ui.Painted("  "+e.Reason, classPaint(p, e.Class)), ui.Cell{Text: e.Meaning})
	}
	widths := t.Fit(ui.ColumnWidths(t.Rows), p.Prose())
	title := ""
	for i, e := range All() {
		if e.Group != title {
			if title = e.Group; i > 0 {
				p.Linef("")
			}
			p.Linef("%s", p.Bold(title))
		}
		for _, line := range ui.FoldRow(t.Rows[i], widths) {
			p.Linef("%s", line)
		}
	}
	p.Linef("")
	p.Hanging("Events of a "+p.Red("permanent")+" Reason go to quarantine, those of a "+p.Yellow("transient")+
		" one come again, and those that were handled are "+p.Cyan("done")+". For causes and cures: "+
		"sealbus explain REASON.", 0, 0, p.Prose())
}
