package house

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// goProgram is a block of Markdown that is a whole file of Go.
var goProgram = regexp.MustCompile("(?s)```go\n((?://[^\n]*\n)*package \\w+\n.*?)```")

// TestProgramsOfDocsCompile compiles every program of README.md and of docs as a package of this module. It
// uses an overlay, so that the program resolves imports as a reader's module would and leaves nothing in the
// tree.
func TestProgramsOfDocsCompile(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace, programs := map[string]string{}, []string{}
	for name, text := range filesNamed(t, ".md") {
		if name != "README.md" && filepath.Dir(name) != "docs" {
			continue
		}
		for _, block := range goProgram.FindAllStringSubmatch(text, -1) {
			n := len(programs) + 1
			source := filepath.Join(dir, fmt.Sprintf("program%d.go", n))
			if err := os.WriteFile(source, []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			pkg := fmt.Sprintf("internal/docs%d", n)
			replace[filepath.Join(root, pkg, filepath.Base(name)+".go")] = source
			programs = append(programs, "./"+pkg)
		}
	}
	if len(programs) < 3 {
		t.Fatalf("README.md and docs have %d programs; those of a producer, of a consumer and of a migration were expected",
			len(programs))
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
		t.Errorf("a program of README.md or docs does not compile: %v\n%s", err, out)
	}
}

// TestReadmeShowsTheFirstPrograms: README.md has the programs of examples/first as they are, but for their
// imports. They stay small enough to be read at once: `if err` and its block are not counted.
func TestReadmeShowsTheFirstPrograms(t *testing.T) {
	readme := readRoot(t, "README.md")
	for name, most := range map[string]int{"producer": 10, "consumer": 15} {
		source := readRoot(t, "examples/first/"+name+"/main.go")
		_, body, found := strings.Cut(source, "\n)\n\n")
		if !found || !strings.Contains(readme, "```go\n"+body+"```") {
			t.Errorf("README.md does not show examples/first/%s/main.go as it is", name)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if n := statements(file); n < 3 || n > most {
			t.Errorf("the %s has %d statements, at most %d are allowed", name, n, most)
		}
	}
}

// statements counts those of all functions of a file. `if err != nil` and its block are none, and a call in
// the head of such an if is one.
func statements(file *ast.File) (n int) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch s := node.(type) {
		case *ast.IfStmt:
			if s.Init != nil {
				n++
			}
			return false
		case *ast.BlockStmt:
			return true
		case ast.Stmt:
			n++
		}
		return true
	})
	return n
}

// TestReadmeIsReadToItsEnd: README.md is so short that people finish it, and fits beside a terminal.
func TestReadmeIsReadToItsEnd(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(readRoot(t, "README.md"), "\n"), "\n")
	if len(lines) > 300 {
		t.Errorf("README.md has %d lines, at most 300 are allowed", len(lines))
	}
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > maxColumns {
			t.Errorf("README.md:%d has %d columns, at most %d are allowed", i+1, n, maxColumns)
		}
	}
}

// TestGuidesAreLinked: README.md leads to each page of docs, directly or over one page of a role.
func TestGuidesAreLinked(t *testing.T) {
	files := filesNamed(t, ".md")
	linked := map[string]bool{}
	for name, text := range files {
		if name != "README.md" && !strings.HasPrefix(name, "docs/guide-") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			linked[filepath.ToSlash(filepath.Join(filepath.Dir(name), target))] = true
		}
	}
	for name := range files {
		if filepath.Dir(name) == "docs" && !linked[name] {
			t.Errorf("neither README.md nor a guide leads to %s", name)
		}
	}
}
