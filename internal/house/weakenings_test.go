package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	// weakName is an exported name that weakens something.
	weakName = regexp.MustCompile(`^(Unsafe|Insecure)[A-Z]\w*$`)
	// weakText is a flag, or a member or a value of a YAML file, as the code has it.
	weakText = regexp.MustCompile(`^(unsafe|insecure)[-_][-_a-z0-9]+$`)
)

// weakeningsOf are the weakenings that a file of the module has: exported names, flags, members of YAML, and
// the fields of a type Unsafe.
func weakeningsOf(file *ast.File, public bool) (names []string) {
	add := func(id *ast.Ident) {
		if public && weakName.MatchString(id.Name) {
			names = append(names, id.Name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.TypeSpec:
			add(n.Name)
			fields, isStruct := n.Type.(*ast.StructType)
			if !public || n.Name.Name != "Unsafe" || !isStruct {
				break
			}
			for _, f := range fields.Fields.List {
				for _, id := range f.Names {
					names = append(names, "Unsafe."+id.Name)
				}
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && weakText.MatchString(text) {
				names = append(names, text)
			}
		}
		return true
	})
	return names
}

// TestEachWeakeningHasARow: docs/security.md says of each name, flag and YAML member with Unsafe or Insecure
// in it what it gives up, as guide-security.md promises to a reviewer.
func TestEachWeakeningHasARow(t *testing.T) {
	_, section, _ := strings.Cut(readRoot(t, "docs/security.md"), "\n## What each weakening gives up\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]bool{} // words in code spans of the first column
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for i, span := range strings.Split(cells[1], "`") {
			for _, word := range strings.Fields(span) {
				rows[strings.TrimPrefix(word, "--")] = i%2 == 1 || rows[strings.TrimPrefix(word, "--")]
			}
		}
	}
	seen := map[string]bool{}
	for name, text := range filesNamed(t, ".go") {
		top, _, _ := strings.Cut(name, "/")
		if strings.HasSuffix(name, "_test.go") || top == "examples" || top == "bench" || top == "interop" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		public := top != "cmd" && !strings.Contains("/"+path.Dir(name)+"/", "/internal/")
		for _, weak := range weakeningsOf(file, public) {
			seen[weak] = true
			_, last, isField := strings.Cut(weak, ".") // DecryptWith.UnsafeRevoked has a row by its field
			if !rows[weak] && !(isField && rows[last]) && !rows["DecryptWith."+weak] && !rows["replay."+weak] {
				t.Errorf("%s: %s has no row in docs/security.md, \"What each weakening gives up\"", name, weak)
			}
		}
	}
	for _, want := range []string{"UnsafeMigration", "Unsafe.AnySource", "UnsafeFailOpen", "unsafe_sha1",
		"insecure-schedule", "unsafe-allow"} {
		if !seen[want] {
			t.Errorf("the search for weakenings no longer finds %s", want)
		}
	}
}
