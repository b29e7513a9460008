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

// TestReadmeCompiles compiles every program of README.md as a command of this module. It uses an overlay, so
// that the program resolves imports as a reader's module would and leaves nothing in the tree.
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
		t.Fatalf("README.md has %d programs, a producer, a consumer and a function were expected",
			len(blocks))
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
	dir := t.TempDir()
	replace, programs := map[string]string{}, []string{}
	for i, block := range blocks[2:] { // the tests of the first two build them where they are
		pkg := fmt.Sprintf("internal/readme%d", i+3)
		source := filepath.Join(dir, fmt.Sprintf("program%d.go", i+3))
		if err := os.WriteFile(source, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, pkg, "main.go")] = source
		programs = append(programs, "./"+pkg)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	// With -export, go list compiles the programs. It does not link them, as go build would.
	args := append([]string{"list", "-export", "-overlay", list}, programs...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("a program of README.md does not compile: %v\n%s", err, out)
	}
}
