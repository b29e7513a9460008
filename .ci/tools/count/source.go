package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// source is what the files of a module hold. Of other modules below it only the tests count.
type source struct {
	packages []*pkgSource // by path
	options  []optionsStruct
	tests    int // Test, Benchmark, Fuzz and Example functions
	helpers  int // other functions and methods of _test.go files
}

type pkgSource struct {
	path     string // below the module
	command  bool
	files    int // without tests
	lines    int
	exported int // names at the top, exported methods of exported types, exported fields
	fields   int // of them fields
	methods  int // of them methods
}

// importable reports whether another module can import the package as a part of the product.
func (p *pkgSource) importable() bool {
	if p.command || p.files == 0 {
		return false
	}
	for part := range strings.SplitSeq(p.path, "/") {
		if part == "internal" || part == "examples" || part == "cmd" {
			return false
		}
	}
	return true
}

type optionsStruct struct {
	pkg, name string
	fields    int
}

// readSource parses all Go files of the module in dir.
func readSource(dir string) (*source, error) {
	s := &source{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != dir && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		return s.readPackage(dir, path)
	})
	if err == nil && len(s.packages) == 0 {
		err = errors.New("no Go files in " + dir)
	}
	return s, err
}

func (s *source) readPackage(dir, path string) error {
	files, err := filepath.Glob(filepath.Join(path, "*.go"))
	if err != nil || len(files) == 0 {
		return err
	}
	below, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	p := &pkgSource{path: filepath.ToSlash(below)}
	own := moduleDir(path) == moduleDir(dir)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, "_test.go") {
			s.readTests(file)
			continue
		}
		if !own {
			continue
		}
		p.files++
		p.lines += strings.Count(string(text), "\n")
		p.command = p.command || file.Name.Name == "main"
		s.readDeclarations(p, file)
	}
	s.packages = append(s.packages, p)
	return nil
}

// moduleDir returns the nearest directory at or above path that holds a go.mod.
func moduleDir(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func (s *source) readTests(file *ast.File) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Recv == nil && isTest(f.Name.Name) {
			s.tests++
		} else {
			s.helpers++
		}
	}
}

func isTest(name string) bool {
	for _, prefix := range []string{"Test", "Benchmark", "Fuzz", "Example"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func (s *source) readDeclarations(p *pkgSource, file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiverName(d.Recv.List[0].Type)) {
				continue
			}
			p.exported++
			if d.Recv != nil {
				p.methods++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					p.exported += countExported(spec.Names)
				case *ast.TypeSpec:
					s.readType(p, spec)
				}
			}
		}
	}
}

func (s *source) readType(p *pkgSource, spec *ast.TypeSpec) {
	if !spec.Name.IsExported() {
		return
	}
	p.exported++
	switch t := spec.Type.(type) {
	case *ast.StructType:
		total := 0
		for _, field := range t.Fields.List {
			if field.Names == nil && ast.IsExported(receiverName(field.Type)) {
				total++
			}
			total += countExported(field.Names)
		}
		p.fields += total
		p.exported += total
		name := spec.Name.Name
		if p.importable() && (strings.HasSuffix(name, "Options") || strings.HasSuffix(name, "Policy")) {
			s.options = append(s.options, optionsStruct{p.path, name, total})
		}
	case *ast.InterfaceType:
		for _, method := range t.Methods.List {
			p.methods += countExported(method.Names)
			p.exported += countExported(method.Names)
		}
	}
}

func countExported(names []*ast.Ident) int {
	n := 0
	for _, name := range names {
		if name.IsExported() {
			n++
		}
	}
	return n
}

// receiverName returns the name of the type behind a pointer, type parameters and the name of a package.
func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}
