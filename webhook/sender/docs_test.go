package sender_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentShowsCodeThatCompiles: the Go code of "Webhooks out" in docs/webhooks.md is that of an example.
func TestDocumentShowsCodeThatCompiles(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "webhooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n## Webhooks out\n")
	_, after, opened := strings.Cut(section, "```go\n")
	code, _, closed := strings.Cut(after, "```")
	if !found || !opened || !closed || strings.Count(code, "\n") < 10 {
		t.Fatal("docs/webhooks.md has no Go code on Webhooks out")
	}
	for line := range strings.Lines(code) {
		if !strings.Contains(string(examples), strings.TrimSpace(line)) {
			t.Errorf("no example has the line %s", line)
		}
	}
}
