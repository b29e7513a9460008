package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/callgraph/vta"
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// reached is what one entry reaches.
type reached struct {
	entry
	functions []*function // by depth, then by name
	all       []*function // the same, if every function value is followed
}

// A function is a declaration that is reached.
type function struct {
	name    string // Opener.Open
	pkg     string // path below the module
	file    string
	lines   int
	calls   []*function
	callers int
	depth   int    // calls from the entry, by the shortest chain
	caller  string // the last one of this chain
}

// reach loads the packages of the entries and follows the calls from each.
func reach(dir string, entries []entry) ([]*reached, error) {
	var results []*reached
	for _, e := range entries {
		p, err := load(dir, e.path)
		if err != nil {
			return nil, err
		}
		root := p.find(e)
		if root == nil {
			return nil, fmt.Errorf("%s: package %s has no function %s", e.name, p.path, e.title())
		}
		start := p.grow(root).Nodes[root]
		results = append(results, &reached{e, p.walk(start, isNamed), p.walk(start, isAny)})
	}
	return results, nil
}

// A program is a package with the packages of its module that it imports.
type program struct {
	*ssa.Program
	module    string
	dir       string // of the module
	path      string // of the package
	functions map[*ssa.Function]bool
	whole     *callgraph.Graph // as if each function were reached
}

// load builds the package at path and its imports within one module. Other modules have types and no bodies.
func load(dir, path string) (*program, error) {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		path = "./" + path
	}
	found, err := list(dir, packages.NeedName|packages.NeedModule|packages.NeedImports|packages.NeedDeps,
		path)
	if err != nil {
		return nil, err
	}
	module := found[0].Module
	if module == nil {
		return nil, fmt.Errorf("%s belongs to no module", path)
	}
	var own []string
	packages.Visit(found, nil, func(p *packages.Package) {
		if p.Module != nil && p.Module.Path == module.Path {
			own = append(own, p.PkgPath)
		}
	})
	loaded, err := list(dir, packages.LoadSyntax, own...)
	if err != nil {
		return nil, err
	}
	prog, _ := ssautil.Packages(loaded, ssa.InstantiateGenerics)
	prog.Build()
	functions := everyFunction(prog)
	whole := vta.CallGraph(functions, nil)
	return &program{prog, module.Path, module.Dir, found[0].PkgPath, functions, whole}, nil
}

func list(dir string, mode packages.LoadMode, patterns ...string) ([]*packages.Package, error) {
	found, err := packages.Load(&packages.Config{Dir: dir, Mode: mode}, patterns...)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if len(p.Errors) > 0 {
			return nil, fmt.Errorf("%s: %v", p.PkgPath, p.Errors[0])
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%v: no packages", patterns)
	}
	return found, nil
}

// find returns the function or method of an entry, or nil.
func (p *program) find(e entry) *ssa.Function {
	for f := range p.functions {
		if f.Name() == e.function && !isGlue(f) && outermost(f) == f && pathOf(f) == p.path &&
			receiverOf(f) == e.receiver {
			return f
		}
	}
	return nil
}

// everyFunction returns the functions of the program and the methods of generic types, which are no functions
// until the types have arguments.
func everyFunction(prog *ssa.Program) map[*ssa.Function]bool {
	functions := ssautil.AllFunctions(prog)
	for _, pkg := range prog.AllPackages() {
		for _, name := range pkg.Pkg.Scope().Names() {
			if t, ok := pkg.Pkg.Scope().Lookup(name).Type().(*types.Named); ok && t.TypeParams().Len() > 0 {
				for method := range t.Methods() {
					if f := prog.FuncValue(method); f != nil {
						functions[f] = true
					}
				}
			}
		}
	}
	return functions
}

// grow builds the call graph from root. It starts with root alone and adds what is reached, until nothing is
// added: a type that only unreached code puts into an interface is no callee.
func (p *program) grow(root *ssa.Function) *callgraph.Graph {
	reached := map[*ssa.Function]bool{root: true}
	for {
		graph := vta.CallGraph(reached, p.whole)
		before := len(reached)
		for _, n := range graph.Nodes {
			if !reached[n.Func] {
				continue
			}
			for _, edge := range n.Out {
				reached[edge.Callee.Func] = true
			}
		}
		if len(reached) == before {
			return graph
		}
	}
}

// walk returns the declared functions of the module that root reaches by edges that follow allows.
func (p *program) walk(root *callgraph.Node, follow func(*callgraph.Edge) bool) []*function {
	start := p.describe(root.Func)
	functions := map[token.Pos]*function{declaration(root.Func): start}
	seen := map[*callgraph.Node]bool{root: true}
	for todo := []*callgraph.Node{root}; len(todo) > 0; todo = todo[1:] {
		caller := functions[declaration(todo[0].Func)]
		for _, n := range p.callees(todo[0], follow) {
			at := declaration(n.Func)
			if functions[at] == nil {
				functions[at] = p.describe(n.Func)
			}
			if callee := functions[at]; callee != caller && !slices.Contains(caller.calls, callee) {
				caller.calls = append(caller.calls, callee)
				callee.callers++
			}
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
	}
	return byDepth(start)
}

// callees returns the functions of the module that n calls. It looks through what the compiler made.
func (p *program) callees(n *callgraph.Node, follow func(*callgraph.Edge) bool) []*callgraph.Node {
	var callees []*callgraph.Node
	for _, edge := range n.Out {
		switch f := edge.Callee.Func; {
		case !p.owns(f) || !follow(edge):
		case isGlue(f):
			callees = append(callees, p.callees(edge.Callee, follow)...)
		default:
			callees = append(callees, edge.Callee)
		}
	}
	return callees
}

// byDepth returns start and the functions that it reaches, with the shortest chain of calls to each.
func byDepth(start *function) []*function {
	functions := []*function{start}
	for i := 0; i < len(functions); i++ {
		f := functions[i]
		slices.SortFunc(f.calls, func(a, b *function) int { return strings.Compare(a.pkg+a.name, b.pkg+b.name) })
		for _, callee := range f.calls {
			if callee != start && callee.caller == "" {
				callee.depth, callee.caller = f.depth+1, f.name
				functions = append(functions, callee)
			}
		}
	}
	return functions
}

func (p *program) describe(f *ssa.Function) *function {
	f = outermost(f)
	position := p.Fset.Position(f.Pos())
	file, err := filepath.Rel(p.dir, position.Filename)
	if err != nil {
		file = position.Filename
	}
	lines := 0
	if syntax, ok := f.Syntax().(*ast.FuncDecl); ok {
		lines = p.Fset.Position(syntax.End()).Line - p.Fset.Position(syntax.Pos()).Line + 1
	}
	pkg := strings.TrimPrefix(strings.TrimPrefix(pathOf(f), p.module), "/")
	return &function{name: nameOf(f), pkg: pkg, file: file, lines: lines}
}

func isAny(*callgraph.Edge) bool { return true }

// isNamed reports whether the calling function says which functions may be called: by name, by an interface,
// or by a variable of its own that holds functions it names.
func isNamed(edge *callgraph.Edge) bool {
	if edge.Site == nil || isGlue(edge.Caller.Func) {
		return true
	}
	call := edge.Site.Common()
	if call.IsInvoke() || call.StaticCallee() != nil {
		return true
	}
	phi, ok := call.Value.(*ssa.Phi)
	return ok && !slices.ContainsFunc(phi.Edges, func(v ssa.Value) bool {
		_, named := v.(*ssa.Function)
		return !named
	})
}

func (p *program) owns(f *ssa.Function) bool {
	path := pathOf(f)
	return path == p.module || strings.HasPrefix(path, p.module+"/")
}

// outermost returns the declared function that f is, or is a closure or an instance of.
func outermost(f *ssa.Function) *ssa.Function {
	for f.Parent() != nil {
		f = f.Parent()
	}
	if origin := f.Origin(); origin != nil {
		f = origin
	}
	return f
}

// isGlue reports whether the compiler made f: a wrapper, a thunk, or the initialisation of a package.
func isGlue(f *ssa.Function) bool {
	return outermost(f).Synthetic != ""
}

func declaration(f *ssa.Function) token.Pos { return outermost(f).Pos() }

func pathOf(f *ssa.Function) string {
	f = outermost(f)
	var pkg *types.Package
	if f.Pkg != nil {
		pkg = f.Pkg.Pkg
	} else if f.Object() != nil {
		pkg = f.Object().Pkg()
	}
	if pkg == nil {
		return ""
	}
	return pkg.Path()
}

func receiverOf(f *ssa.Function) string {
	receiver := outermost(f).Signature.Recv()
	if receiver == nil {
		return ""
	}
	t := receiver.Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if named, ok := t.(*types.Named); ok {
		return named.Obj().Name()
	}
	return ""
}

func nameOf(f *ssa.Function) string {
	if receiver := receiverOf(f); receiver != "" {
		return receiver + "." + f.Name()
	}
	return f.Name()
}
