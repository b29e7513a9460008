package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const internalPath = "github.com/sealbus/sealbus/cmd/sealbus/internal/"

// base are the packages below the groups of commands, each with those of them that it may import.
var base = map[string][]string{
	"errtext":        {},
	"ui":             {"errtext"},
	"awscli":         {"errtext", "loadhome", "ui"},
	"loadtrust":      {"awscli", "errtext", "ui"},
	"loadkeys":       {"awscli", "errtext", "loadtrust", "ui"},
	"loadquarantine": {"awscli", "errtext", "ui"},
	"pollqueue":      {"awscli", "errtext", "ui"},
	"dialing":        {"ui"},
	"loadclaims":     {"ui"},
	"loadhome":       {"ui"},
	"loadtoken":      {"errtext", "ui"},
	"serving":        {"errtext", "ui"},
	"input":          {"awscli", "errtext", "ui"},
	"rehearsal":      {"errtext"},
}

// groups are the packages of the commands. None imports another one.
var groups = []string{"claims", "demo", "dev", "doctor", "events", "explain", "gateway", "keys", "listen",
	"quarantine", "schema", "setup", "tenants", "token", "trust", "webhook"}

// testOnly are packages that only tests import, and what they may import of the rest.
var testOnly = map[string][]string{"uitest": {"ui"}, "clitest": {"cli", "ui", "uitest"}}

// sourceFile is a file of the command: "ui/env.go", or "main.go".
type sourceFile struct {
	name, pkg string // pkg is "main" at the top
	isTest    bool
}

// sources are all Go files of the command and of the packages below it.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	top, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("internal/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var list []sourceFile
	for _, name := range append(top, below...) {
		pkg := filepath.Base(filepath.Dir(name))
		if pkg == "." {
			pkg = "main"
		}
		list = append(list, sourceFile{filepath.ToSlash(name), pkg, strings.HasSuffix(name, "_test.go")})
	}
	if len(list) < 80 {
		t.Fatalf("only %d files", len(list))
	}
	return list
}

// parsed is the syntax tree of a file.
func (f sourceFile) parsed(t *testing.T, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), f.name, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// inProgram reports whether the file is part of the program, not of its tests.
func (f sourceFile) inProgram() bool { return !f.isTest && testOnly[f.pkg] == nil }

// TestPackagesStaySmall: a package that needs more than 25 files is two packages.
func TestPackagesStaySmall(t *testing.T) {
	files := map[string]int{}
	for _, f := range sources(t) {
		files[f.pkg]++
	}
	for pkg, n := range files {
		if n > 25 {
			t.Errorf("%s has %d files", pkg, n)
		}
	}
	if program := slices.DeleteFunc(sources(t), func(f sourceFile) bool { return f.pkg != "main" || f.isTest }); len(program) != 1 {
		t.Errorf("beside main.go, the program has %v at the top", program)
	}
}

// TestPackagesImportDownwards: the groups stand side by side on the base, and only cli imports them.
func TestPackagesImportDownwards(t *testing.T) {
	var under []string
	for pkg := range base {
		under = append(under, pkg)
	}
	allowed := map[string][]string{"main": {"cli", "ui"},
		"cli": append([]string{"ui", "loadhome", "loadkeys"}, groups...)}
	for pkg, list := range base {
		allowed[pkg] = list
	}
	for _, pkg := range groups {
		allowed[pkg] = under
	}
	for pkg, list := range testOnly {
		allowed[pkg] = list
	}
	for _, f := range sources(t) {
		if f.isTest {
			continue // the tests of a package may run all of the program
		}
		list, known := allowed[f.pkg]
		if !known {
			t.Errorf("%s: package %s is in no table of this test", f.name, f.pkg)
		}
		for _, spec := range f.parsed(t, parser.ImportsOnly).Imports {
			name, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), internalPath)
			if ours && !slices.Contains(list, name) {
				t.Errorf("%s: %s may not import %s", f.name, f.pkg, name)
			}
		}
	}
}

// TestOutputHasOneWay: nothing is written to a stream but by the functions that make it harmless.
func TestOutputHasOneWay(t *testing.T) {
	allowed := map[string][]string{ // the functions that may name a stream
		"ui.writeRaw": {"stdout"}, "ui.Say": {"stderr"}, "ui.Write": {"stderr"}, "ui.onTerminal": {"stdout"},
		"ui.NewEnv":      {"stdout", "stderr"},
		"ui.askTerminal": {"Stderr"}, "ui.restoreOnInterrupt": {"Stderr"}, "main.run": {"Stdout", "Stderr"},
	}
	for _, f := range sources(t) {
		if !f.inProgram() {
			continue
		}
		for _, decl := range f.parsed(t, 0).Decls {
			name := "a declaration"
			if fn, ok := decl.(*ast.FuncDecl); ok {
				name = fn.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				stream := s.Sel.Name
				isStream := slices.Contains([]string{"stdout", "stderr", "Stdout", "Stderr"}, stream)
				if isStream && !slices.Contains(allowed[f.pkg+"."+name], stream) {
					t.Errorf("%s: %s writes to %s: use Say, WriteText, WriteJSON or WriteOut", f.name, name,
						stream)
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "fmt" &&
					slices.Contains([]string{"Print", "Printf", "Println"}, stream) {
					t.Errorf("%s: %s uses fmt.%s", f.name, name, stream)
				}
				return true
			})
		}
	}
}

// TestCountsHaveAPlural: "1 events" is never written: ui.Count knows both.
func TestCountsHaveAPlural(t *testing.T) {
	for _, f := range sources(t) {
		if !f.inProgram() {
			continue
		}
		source, err := os.ReadFile(f.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, many := range []string{"event(s)", "record(s)", "key(s)", `%d events"`, `%d records"`,
			`%d keys"`, `"%d bytes"`} {
			// that is of a limit
			if strings.Contains(strings.ReplaceAll(string(source), `"more than %d keys"`, ""), many) {
				t.Errorf("%s: %s: use ui.Count", f.name, many)
			}
		}
	}
}

// TestErrorsAreNotEdited: cause and fix of an error are fields. Only errtext looks into the text.
func TestErrorsAreNotEdited(t *testing.T) {
	for _, f := range sources(t) {
		if !f.inProgram() || f.pkg == "errtext" {
			continue
		}
		ast.Inspect(f.parsed(t, 0), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := s.Sel.Name
			edits := slices.ContainsFunc([]string{"Replace", "Trim", "Cut", "Split", "Fields", "Contains",
				"Index", "FindString"},
				func(verb string) bool { return strings.HasPrefix(name, verb) })
			if !edits {
				return true
			}
			for _, arg := range call.Args {
				ast.Inspect(arg, func(n ast.Node) bool {
					if text, ok := n.(*ast.SelectorExpr); ok &&
						(text.Sel.Name == "Error" || text.Sel.Name == "Plain") {
						t.Errorf("%s: %s of the text of an error: give the error a field, or do it in errtext", f.name, name)
					}
					return true
				})
			}
			return true
		})
	}
}
