package explain_test

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/explain"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/uitest"
)

// TestExplanationsFit: each fits a terminal of 80 columns, without a terminal and with one.
func TestExplanationsFit(t *testing.T) {
	b := clitest.New(t)
	for _, word := range append(explain.Words(), "") {
		args := append([]string{"explain"}, strings.Fields(word)...)
		for _, terminal := range []bool{false, true} {
			b.Terminal, b.Columns = terminal, 80
			if line, n := uitest.Widest(b.Must("", args...)); n > 80 {
				t.Errorf("%s: %d columns: %s", word, n, line)
			}
		}
	}
}

// TestCommandsOfCuresExist: a cure that names a command or a flag names one that there is.
func TestCommandsOfCuresExist(t *testing.T) {
	root := cli.Root(ui.NewEnv(strings.NewReader(""), io.Discard, io.Discard, ui.System{
		Getenv: func(string) string { return "" }, Terminal: func(io.Writer) bool { return false }}))
	command := regexp.MustCompile("`sealbus ([^`]*)`")
	seen := 0
	for _, e := range explain.All() {
		texts := append(slices.Clone(e.Causes), e.Fix, e.Elsewhere)
		for _, c := range e.Cures {
			texts = append(texts, c.Do)
		}
		for _, m := range command.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
			seen++
			cmd, rest, err := root.Find(strings.Fields(m[1]))
			if err != nil || cmd == root {
				t.Errorf("%s: there is no command %q: %v", e.Reason, m[1], err)
				continue
			}
			for _, word := range rest {
				if name, isFlag := strings.CutPrefix(word, "--"); isFlag && cmd.Flags().Lookup(name) == nil {
					t.Errorf("%s: %q has no flag --%s", e.Reason, m[1], name)
				}
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d commands were found", seen)
	}
}
