package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	inBackticks = regexp.MustCompile("`([^`]+)`")
	goName      = regexp.MustCompile(`\b([a-z0-9]+(?:/[a-z0-9]+)*)\.([A-Z]\w*(?:\.[A-Z]\w*)?)\b`)
)

func architecture(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// documentedRooms are the directories of the table in "The rooms", each with how often it stands there.
func documentedRooms(t *testing.T) map[string]int {
	t.Helper()
	_, section, _ := strings.Cut(architecture(t), "\n## The rooms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rooms := map[string]int{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range inBackticks.FindAllStringSubmatch(cells[1], -1) {
				rooms[name[1]]++
			}
		}
	}
	return rooms
}

// TestArchitectureNamesEachRoom: each directory with Go code is in the table of the document exactly once.
func TestArchitectureNamesEachRoom(t *testing.T) {
	documented := documentedRooms(t)
	if len(documented) < 30 {
		t.Fatalf("the document has only %d rooms", len(documented))
	}
	exist := map[string]bool{"vectors": true} // data, which other implementations import
	for name := range filesNamed(t, ".go") {
		if dir := filepath.ToSlash(filepath.Dir(name)); dir != "." &&
			!strings.Contains(dir+"/", "testdata/") {
			exist[dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(exist)) {
		if documented[dir] == 0 {
			t.Errorf("docs/architecture.md does not name %s", dir)
		}
	}
	for dir, times := range documented {
		switch {
		case !exist[dir]:
			t.Errorf("docs/architecture.md names %s, which does not exist", dir)
		case times > 1:
			t.Errorf("docs/architecture.md names %s %d times", dir, times)
		}
	}
}

// TestArchitectureNamesRealCode: each name of ours in the document, such as consumer.Consumer.Handle in the
// picture of an event's way, exists.
func TestArchitectureNamesRealCode(t *testing.T) {
	rooms := documentedRooms(t)
	exported := map[string]map[string]bool{}
	checked := 0
	for _, found := range goName.FindAllStringSubmatch(architecture(t), -1) {
		dir, name := found[1], found[2]
		if rooms[dir] == 0 {
			continue // of another module, such as event.Event
		}
		if exported[dir] == nil {
			exported[dir] = exportedNames(t, dir)
		}
		if checked++; !exported[dir][name] {
			t.Errorf("docs/architecture.md names %s.%s, which does not exist", dir, name)
		}
	}
	if checked < 15 {
		t.Errorf("only %d names were checked", checked)
	}
}

// exportedNames are the functions, types and methods of a package, as Name and as Type.Method.
func exportedNames(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Logf("%s has no Go files", dir)
	}
	names := map[string]bool{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, isType := spec.(*ast.TypeSpec); isType {
						names[spec.Name.Name] = true
						addMembers(names, spec)
					}
				}
			}
		}
	}
	return names
}

// receiver is the type that a method belongs to, with a dot; "" for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	expr := f.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name + "."
		default:
			return ""
		}
	}
}

// addMembers adds the methods of an interface and the fields of a struct.
func addMembers(names map[string]bool, spec *ast.TypeSpec) {
	var fields *ast.FieldList
	switch of := spec.Type.(type) {
	case *ast.InterfaceType:
		fields = of.Methods
	case *ast.StructType:
		fields = of.Fields
	default:
		return
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			names[spec.Name.Name+"."+name.Name] = true
		}
	}
}

// ours are the packages of the module that a package links, by their directories.
func ours(list []string) (dirs []string) {
	for _, dep := range list {
		if dir, isOurs := strings.CutPrefix(dep, module+"/"); isOurs {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// isInternal tells a package below internal/ from a public one and from one of the command.
func isInternal(dir string) bool { return strings.HasPrefix(dir, "internal/") }

// isTesting tells a package that is there for tests.
func isTesting(dir string) bool {
	return strings.HasSuffix(dir, "test") || strings.HasPrefix(dir, "internal/testbed/") ||
		dir == "internal/lossy" || dir == "internal/house"
}

// rules are "Who may import whom" of docs/architecture.md, by their numbers, where no table of
// imports_test.go has them. Each says whether one package may link another.
var rules = map[string]func(pkg, dep string) bool{
	"1: keys links no public package of sealbus": func(pkg, dep string) bool {
		return pkg != "keys" || isInternal(dep)
	},
	"2: producer and consumer never link each other": func(pkg, dep string) bool {
		producing, consuming := below("producer"), below("consumer")
		return !(producing(pkg) && consuming(dep)) && !(consuming(pkg) && producing(dep))
	},
	"5: internal packages link no public package, but for tests": func(pkg, dep string) bool {
		return !isInternal(pkg) || isTesting(pkg) || isInternal(dep)
	},
	"6: only tests and examples link packages for tests": func(pkg, dep string) bool {
		return isTesting(pkg) || below("examples")(pkg) || !isTesting(dep)
	},
	"7: no package links an example, and none links the command": func(pkg, dep string) bool {
		command := below("cmd")
		return (below("examples")(pkg) || !below("examples")(dep)) && (command(pkg) || !command(dep))
	},
	"8: the groups of the command do not link each other": func(pkg, dep string) bool {
		groups := []string{"claims", "demo", "dev", "doctor", "events", "explain", "gateway", "keys", "listen",
			"quarantine", "schema", "setup", "tenants", "token", "trust", "webhook"}
		group := func(dir string) bool {
			name, below := strings.CutPrefix(dir, "cmd/sealbus/internal/")
			return below && slices.Contains(groups, name)
		}
		return !group(pkg) || !group(dep) // what they share is in the house test of the command
	},
}

func below(dir string) func(string) bool {
	return func(pkg string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }
}

// TestImportRules holds every package to the rules that the document states.
func TestImportRules(t *testing.T) {
	for pkg, list := range allDeps(t) {
		for _, dep := range ours(list) {
			for rule, allows := range rules {
				if dep != pkg && !allows(pkg, dep) {
					t.Errorf("%s links %s. Rule %s", pkg, dep, rule)
				}
			}
		}
	}
}

// TestImportRulesSeeABreach shows that each rule can fail.
func TestImportRulesSeeABreach(t *testing.T) {
	breaches := map[string][2]string{
		"1": {"keys", "envelope"}, "2": {"consumer", "producer"}, "5": {"internal/jwe", "keys"},
		"6": {"consumer", "internal/testbed/mint"}, "7": {"consumer", "examples/orders"},
		"8": {"cmd/sealbus/internal/doctor", "cmd/sealbus/internal/trust"},
	}
	for rule, allows := range rules {
		number, _, _ := strings.Cut(rule, ":")
		if b, known := breaches[number]; !known || allows(b[0], b[1]) {
			t.Errorf("rule %s allows that %s links %s", rule, b[0], b[1])
		}
	}
	if len(breaches) != len(rules) {
		t.Errorf("%d breaches are tried, there are %d rules", len(breaches), len(rules))
	}
	text := architecture(t)
	for number := range breaches {
		if !strings.Contains(text, "\n"+number+". ") {
			t.Errorf("docs/architecture.md has no rule %s", number)
		}
	}
}
