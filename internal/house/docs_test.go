package house

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// publicPackages are the files of each package that other modules can import, by directory.
func publicPackages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	root := filepath.Join("..", "..")
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			switch name {
			case "internal", "testdata", "cmd", "examples", "interop", "bench", "vectors", "node_modules":
				return fs.SkipDir
			}
			if path != root && strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			dir := filepath.Dir(path)
			packages[dir] = append(packages[dir], file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 15 {
		t.Fatalf("found only %d packages", len(packages))
	}
	return packages
}

// TestEveryPackageHasAnExample: people start from an example, so each package that they can import has one.
func TestEveryPackageHasAnExample(t *testing.T) {
	for dir, files := range publicPackages(t) {
		found := false
		for _, file := range files {
			for _, d := range file.Decls {
				f, isFunc := d.(*ast.FuncDecl)
				found = found || isFunc && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example")
			}
		}
		if !found {
			t.Errorf("%s has no example", dir)
		}
	}
}

// TestNoAliasOfAnInternalType: go doc and pkg.go.dev show neither fields nor methods of an exported alias of
// an internal type.
func TestNoAliasOfAnInternalType(t *testing.T) {
	for dir, files := range publicPackages(t) {
		for _, file := range files {
			internal := map[string]bool{} // by the name of the package in this file
			for _, i := range file.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				name := path[strings.LastIndex(path, "/")+1:]
				if i.Name != nil {
					name = i.Name.Name
				}
				internal[name] = strings.Contains(path, "/internal/")
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, isType := n.(*ast.TypeSpec)
				if !isType || !spec.Assign.IsValid() || !spec.Name.IsExported() {
					return true
				}
				if sel, isSelector := spec.Type.(*ast.SelectorExpr); isSelector &&
					internal[sel.X.(*ast.Ident).Name] {
					t.Errorf("%s: %s is an alias of %s.%s", dir, spec.Name.Name, sel.X.(*ast.Ident).Name,
						sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// TestClientsThatTryOnceHaveTheTransport: the AWS SDK loses answers of a server in the process now and then
// (aws-sdk-go-v2 #2737). A test whose client does not repeat a call fails by chance without
// localaws.Transport.
func TestClientsThatTryOnceHaveTheTransport(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "node_modules" {
			return cmp.Or(err, fs.SkipDir)
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") ||
			strings.HasSuffix(path, filepath.Join("house", "docs_test.go")) ||
			strings.Contains(path, "awscall") { // it is about these very answers
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("aws.NopRetryer")) {
			return err
		}
		if checked++; !bytes.Contains(text, []byte("localaws.Transport{}")) {
			t.Errorf("%s has a client that tries once, without localaws.Transport", path)
		}
		return nil
	})
	if err != nil || checked < 5 {
		t.Errorf("%d files were checked, %v", checked, err)
	}
}
