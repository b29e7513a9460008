package ui

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Help writes what a command does and its flags to standard output, no wider than the terminal.
func (env *Env) Help(cmd *cobra.Command, _ []string) {
	p := &Printer{Style: env.Out}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	printParagraphs(p, text)
	p.Linef("\n%s", p.Bold("Usage"))
	printUsage(p, usageLine(cmd))
	printCommands(p, cmd)
	printFlags(p, "Flags", cmd.LocalNonPersistentFlags())
	printFlags(p, "Everywhere", cmd.Root().PersistentFlags())
	if cmd.Example != "" {
		p.Linef("\n%s", p.Bold("Example"))
		for _, line := range strings.Split(cmd.Example, "\n") {
			p.Linef("%s", continued(line, p.Prose()))
		}
	}
	if !cmd.HasParent() {
		p.Linef("\n%s", p.Bold("Exit status"))
		exitStatuses().PrintProse(p)
	}
	_ = env.WriteText(p)
}

// exitStatuses is what scripts go by.
func exitStatuses() *Table {
	var t Table
	t.Add(Cells("  0", "done")...)
	t.Add(Cells("  1", "rejected: the input was judged, and is refused")...)
	t.Add(Cells("  2",
		"usage: change the command, or what it names: a flag, a file that is missing or another than is meant, a passphrase, "+
			"credentials, a permission")...)
	t.Add(Cells("  3", "try again: something did not answer, or could not be read now")...)
	t.Add(Cells("  4", "something is due (doctor, keys status)")...)
	t.Add(Cells("  130", "interrupted by Ctrl-C")...)
	return &t
}

// printParagraphs writes text whose paragraphs are apart by blank lines. Lines that are indented stay as they
// are.
func printParagraphs(p *Printer, text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.Linef("")
		}
		if strings.HasPrefix(paragraph, " ") {
			for line := range strings.SplitSeq(paragraph, "\n") {
				p.Hanging(line, 0, 4, p.Prose())
			}
			continue
		}
		p.Hanging(strings.ReplaceAll(paragraph, "\n", " "), 0, 0, p.Prose())
	}
}

// continued breaks a command for the shell into lines that can be pasted: before a flag, a pipe or a
// redirection.
func continued(line string, most int) string {
	const indent = "    "
	var b strings.Builder
	used, quoted := 0, false
	for i, word := range strings.Split(line, " ") {
		size := Width(word)
		breaks := !quoted && word != "" && strings.Contains("-|<>#", word[:1]) || used+1+size > most-2 &&
			!quoted
		switch {
		case i == 0:
		case breaks && used+1+size+len(restOfArgument(line, word)) > most-2 && used > len(indent):
			b.WriteString(" \\\n" + indent)
			used = len(indent)
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += size
		quoted = quoted != (strings.Count(word, "'")%2 == 1)
	}
	return b.String()
}

// restOfArgument is the value after a flag, which stays in its line.
func restOfArgument(line, flag string) string {
	_, after, found := strings.Cut(line, flag+" ")
	if !found || !strings.HasPrefix(flag, "-") && flag != "<" && flag != ">" && flag != "|" {
		return ""
	}
	value, _, _ := strings.Cut(after, " ")
	return " " + value
}

// unbroken stands for a space at which a line is not folded.
const unbroken = "\u00a0"

// flagAndValue is a flag that takes a value, in a usage line.
var flagAndValue = regexp.MustCompile(`(--[a-z-]+) ([A-Z])`)

// printUsage folds a usage line, but not between a flag and its value.
func printUsage(p *Printer, line string) {
	line = flagAndValue.ReplaceAllString(line, "${1}"+unbroken+"${2}")
	p.Linef("%s", strings.ReplaceAll(hanging("  "+line, p.Prose(), 6), unbroken, " "))
}

func usageLine(cmd *cobra.Command) string {
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	return line
}

func printCommands(p *Printer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.Linef("\n%s", p.Bold("Commands"))
	var t Table
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			t.Add(Cells("  "+c.Name(), c.Short)...)
		}
	}
	t.PrintProse(p)
}

// widestFlag is how wide the column of flags becomes. A longer flag has its text in the lines below.
const widestFlag = 28

// mostWords is how many words a flag shows behind its name. A longer list of words follows its text.
const mostWords = 4

func printFlags(p *Printer, title string, flags *pflag.FlagSet) {
	var names, texts []string
	column := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, text := pflag.UnquoteUsage(f)
		name := "  " + strings.TrimRight("--"+f.Name+" "+flagKind(f, kind), " ")
		if words := strings.Split(kind, "|"); len(words) > mostWords {
			name, text = "  --"+f.Name+" WORD", text+": "+strings.Join(words[:len(words)-1], ", ")+" or "+
				words[len(words)-1]
		}
		names, texts = append(names, name), append(texts, text+
			strings.Replace(flagDefault(f), "(default ", "(default"+unbroken, 1))
		if Width(name) <= widestFlag {
			column = max(column, Width(name))
		}
	})
	if len(names) == 0 {
		return
	}
	if column == 0 {
		column = widestFlag
	}
	p.Linef("\n%s", p.Bold(title))
	for i, name := range names {
		lead := fmt.Sprintf("%-*s  ", column, name)
		if Width(name) > column {
			p.Linef("%s", name)
			lead = strings.Repeat(" ", column+ColumnGap)
		}
		p.Linef("%s", strings.ReplaceAll(hanging(lead+texts[i], p.Prose(), column+ColumnGap), unbroken, " "))
	}
}

// flagKind stands for the flag's value: capitals, repeated flags with dots.
func flagKind(f *pflag.Flag, kind string) string {
	if strings.HasSuffix(f.Value.Type(), "Array") {
		return strings.ToUpper(strings.TrimSuffix(kind, "Array")) + "..."
	}
	if strings.Contains(kind, "|") {
		return kind
	}
	return strings.ToUpper(kind)
}

func flagDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]", "0", "0s":
		return ""
	}
	return " (default " + f.DefValue + ")"
}
