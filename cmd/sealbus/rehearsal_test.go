package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
)

// TestRehearsalOfTheDocs runs the command that docs/trust.md shows, with the files that it shows.
func TestRehearsalOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- rehearsal: ([^\n]+) -->\n```[a-z]+\n(.*?)```")
	blocks := block.FindAllStringSubmatch(string(doc), -1)
	b, ran := clitest.New(t), 0
	t.Chdir(t.TempDir())
	for _, block := range blocks {
		command, isCommand := strings.CutPrefix(block[1], "sealbus ")
		if !isCommand {
			b.Check(os.WriteFile(block[1], []byte(block[2]), 0o600))
			continue
		}
		ran++
		if got := b.Run("", strings.Fields(command)...); got.Stdout != block[2] || got.Code != 1 {
			t.Errorf("%s: exit status %d\n%s\nthe page shows\n%s", block[1], got.Code, got.Stdout, block[2])
		}
	}
	if ran == 0 {
		t.Error("docs/trust.md shows no rehearsal")
	}
}
