package explain

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

// root is the module.
var root = filepath.Join("..", "..", "..", "..")

// TestPage: docs/reasons.md has what `sealbus explain` says.
func TestPage(t *testing.T) {
	name := filepath.Join(root, "docs", "reasons.md")
	if *update {
		if err := os.WriteFile(name, []byte(page()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(doc, []byte(page())) {
		t.Errorf("docs/reasons.md is not made from the table: run this test with -update (%v)", err)
	}
}

// TestEveryReasonIsExplained: no Reason is missing, none is extra, and each has causes, cures and a group.
func TestEveryReasonIsExplained(t *testing.T) {
	got, reasons := slices.Sorted(maps.Keys(reasons)), slices.Sorted(slices.Values(envelope.Reasons()))
	if !slices.Equal(got, reasons) {
		t.Errorf("explained are %v, the Reasons are %v", got, reasons)
	}
	want := slices.Sorted(maps.Keys(fileWords))
	for _, r := range envelope.Reasons() {
		want = append(want, string(r))
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(Words())); !slices.Equal(got, want) {
		t.Errorf("the list has %v, the tables have %v", got, want)
	}
	for _, e := range All() {
		if e.Meaning == "" || e.Next == "" || len(e.Causes) == 0 || len(e.Cures) == 0 {
			t.Errorf("%s: meaning %q, next %q, %d causes, %d cures", e.Reason, e.Meaning, e.Next, len(e.Causes),
				len(e.Cures))
		}
		for _, text := range append(slices.Clone(e.Causes), e.Cures[0].Do) {
			if strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text {
				t.Errorf("%s: %q is a clause without a period", e.Reason, text)
			}
		}
	}
}

// TestOnlyEnvelopeDeclaresReasons: a package that declared Reasons of its own would be missing here. The
// addresses that a webhook may not be sent to have words of their own, which no command prints.
func TestOnlyEnvelopeDeclaresReasons(t *testing.T) {
	declares := regexp.MustCompile(`(?m)^type (\w*(?:Reason|Why)) string`)
	found := map[string]string{}
	eachSource(t, root, func(path string, text []byte) {
		for _, m := range declares.FindAllSubmatch(text, -1) {
			found[filepath.ToSlash(filepath.Dir(path))] = string(m[1])
		}
	})
	want := map[string]string{"envelope": "Reason", "keys/trust": "BundleWhy", "internal/dialguard": "Reason"}
	if !maps.Equal(found, want) {
		t.Errorf("these packages declare Reasons: %v, explained are those of %v", found, want)
	}
}

// TestRefusalsOfFilesAreExplained: each trust.BundleWhy is a word of the list.
func TestRefusalsOfFilesAreExplained(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "keys", "trust", "bundlesign.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isValue := n.(*ast.ValueSpec)
		if !isValue {
			return true
		}
		if of, isNamed := spec.Type.(*ast.Ident); isNamed && of.Name == "BundleWhy" {
			seen++
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil || !slices.Contains(Words(), word) {
				t.Errorf("%s is not explained", word)
			}
		}
		return true
	})
	if seen < 10 {
		t.Errorf("only %d values of BundleWhy", seen)
	}
}

// TestReasonsOfErrorsAreExplained: each word that a command writes as "reason" is a word of the list.
func TestReasonsOfErrorsAreExplained(t *testing.T) {
	literal := regexp.MustCompile(`\b(?:Reason: +|AsNeeded\()"([a-z_]+)"`)
	seen := 0
	eachSource(t, filepath.Join(root, "cmd"), func(path string, text []byte) {
		if strings.Contains(path, "demo") || strings.Contains(path, "rehearsal") {
			return // these are texts of revocations
		}
		for _, m := range literal.FindAllSubmatch(text, -1) {
			if seen++; !slices.Contains(Words(), string(m[1])) {
				t.Errorf("%s: %s is not explained", path, m[1])
			}
		}
	})
	if seen < 3 {
		t.Errorf("only %d words were found", seen)
	}
}

// eachSource reads the Go files of the program below dir; paths are relative to dir.
func eachSource(t *testing.T, dir string, read func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "testdata" || name == "node_modules" || name == "interop" ||
			name == "bench" || len(name) > 2 && name[0] == '.') {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		read(relative, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNearest: a misspelled word leads to the one that was meant.
func TestNearest(t *testing.T) {
	for typed, want := range map[string]string{
		"revoked": "revoked_key", "revokedkey": "revoked_key", "unkown_key": "unknown_key", "replay": "replayed",
		"kms": "kms_unavailable", "signature": "bad_signature", "source_not_alowed": "source_not_allowed",
		"expird": "expired", "passphrase": "wrong_passphrase",
	} {
		if near := nearest(typed); len(near) == 0 || near[0] != want {
			t.Errorf("%s: %v, not %s", typed, near, want)
		}
	}
	for _, typed := range []string{"", "x", "zzzzzzzz", strings.Repeat("revoked", 100)} {
		if near := nearest(typed); len(near) > 0 {
			t.Errorf("%.20s: %v", typed, near)
		}
	}
	for _, word := range Words() {
		if e, err := find(" " + strings.ToUpper(strings.ReplaceAll(word, "_", "-"))); err != nil || e.Reason != word {
			t.Errorf("%s: %v, %v", word, e.Reason, err)
		}
	}
}
