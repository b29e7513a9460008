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
	name   string // (*Opener).Open
	pkg    string // path below the module
	file   string
	lines  int
	depth  int
	caller string // by which it is reached first
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
	found, err := list(dir, packages.NeedName|packages.NeedModule|packages.NeedImports|packages.NeedDeps, path)
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
	return &program{prog, module.Path, module.Dir, found[0].PkgPath, functions, vta.CallGraph(functions, nil)}, nil
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
	depth := map[*callgraph.Node]int{root: 0}
	through := map[*callgraph.Node]*ssa.Function{} // the function that calls a wrapper
	found := map[token.Pos]*function{}
	p.note(found, root.Func, nil, 0)
	// A step within one declaration costs nothing, so the queue has two ends.
	for queue := []*callgraph.Node{root}; len(queue) > 0; {
		n := queue[0]
		queue = queue[1:]
		for _, edge := range n.Out {
			callee := edge.Callee
			if !p.owns(callee.Func) || !follow(edge) {
				continue
			}
			cost := 1
			if isGlue(callee.Func) || !isGlue(n.Func) && declaration(callee.Func) == declaration(n.Func) {
				cost = 0
			}
			if d, ok := depth[callee]; ok && d <= depth[n]+cost {
				continue
			}
			depth[callee] = depth[n] + cost
			if cost == 0 {
				queue = slices.Insert(queue, 0, callee)
			} else {
				queue = append(queue, callee)
			}
			caller := n.Func
			if isGlue(caller) {
				caller = through[n]
			}
			through[callee] = caller
			p.note(found, callee.Func, caller, depth[callee])
		}
	}
	functions := make([]*function, 0, len(found))
	for _, f := range found {
		functions = append(functions, f)
	}
	slices.SortFunc(functions, func(a, b *function) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		return strings.Compare(a.pkg+a.name, b.pkg+b.name)
	})
	return functions
}

// note keeps the declaration of f with the smallest depth at which it was met.
func (p *program) note(found map[token.Pos]*function, f, caller *ssa.Function, depth int) {
	if isGlue(f) {
		return
	}
	at := declaration(f)
	if known := found[at]; known != nil {
		if depth < known.depth {
			known.depth, known.caller = depth, nameOf(caller)
		}
		return
	}
	position := p.Fset.Position(at)
	file, err := filepath.Rel(p.dir, position.Filename)
	if err != nil {
		file = position.Filename
	}
	lines := 0
	if syntax, ok := outermost(f).Syntax().(*ast.FuncDecl); ok {
		lines = p.Fset.Position(syntax.End()).Line - p.Fset.Position(syntax.Pos()).Line + 1
	}
	found[at] = &function{
		name: nameOf(f), pkg: strings.TrimPrefix(strings.TrimPrefix(pathOf(f), p.module), "/"),
		file: file, lines: lines, depth: depth, caller: nameOf(caller),
	}
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

// nameOf returns the name of the declared function, without the mark of a wrapper.
func nameOf(f *ssa.Function) string {
	if f == nil {
		return ""
	}
	f = outermost(f)
	if receiver := receiverOf(f); receiver != "" {
		return receiver + "." + f.Name()
	}
	name, _, _ := strings.Cut(f.Name(), "$")
	return name
}
