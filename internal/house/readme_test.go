package house

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n((?://[^\n]*\n)*package main\n.*?)```")

// TestReadmeCompiles builds every program of README.md as a command of this module, through an overlay, so
// that it resolves imports as a reader's module would and leaves nothing in the tree.
func TestReadmeCompiles(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := goBlock.FindAllSubmatch(readme, -1)
	if len(blocks) < 3 {
		t.Fatalf("README.md has %d programs, a producer, a consumer and a function were expected", len(blocks))
	}
	first := string(blocks[0][1]) + string(blocks[1][1])
	for _, program := range []string{"producer", "consumer"} {
		source, err := os.ReadFile(filepath.Join(root, "examples", "first", program, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(first, string(source)) {
			t.Errorf("README.md does not show examples/first/%s/main.go as it is", program)
		}
	}
	for i, block := range blocks[2:] { // the first two were built where they are
		dir := t.TempDir()
		source := filepath.Join(dir, "main.go")
		if err := os.WriteFile(source, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		pkg := fmt.Sprintf("internal/readme%d", i)
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, pkg, "main.go"): source}})
		if err != nil {
			t.Fatal(err)
		}
		list := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(list, overlay, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, "-overlay", list, "./"+pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("program %d of README.md does not compile: %v\n%s", i+3, err, out)
		}
	}
}
