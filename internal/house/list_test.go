package house

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// listed is a package of the module, or one that the module links, as the go command lists it.
type listed struct {
	export string   // the file with the types that it exports
	deps   []string // import paths of the packages that it links, itself left out
}

// list lists the packages of the module and all that they link, by import path. The go command runs once for
// all tests, because it takes a second.
var list = sync.OnceValues(func() (map[string]listed, error) {
	const format = `{{.ImportPath}}|{{.Export}}|{{join .Deps " "}}`
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", format, module+"/...").Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return nil, fmt.Errorf("go list: %w\n%s", err, failed.Stderr)
		}
		return nil, err
	}
	packages := make(map[string]listed)
	for line := range strings.Lines(string(out)) {
		fields := strings.SplitN(strings.TrimSpace(line), "|", 3)
		packages[fields[0]] = listed{export: fields[1], deps: strings.Fields(fields[2])}
	}
	return packages, nil
})

// packages is list for a test.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// deps are the import paths of the packages that a package of the module links.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	p, ok := packages(t)[module+"/"+pkg]
	if !ok || len(p.deps) == 0 {
		t.Fatalf("go list knows of no package %s that links anything", pkg)
	}
	return p.deps
}

// allDeps are the import paths of the packages that each package of the module links, by its name in the
// table.
func allDeps(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for path, p := range packages(t) {
		if name, ok := strings.CutPrefix(path, module+"/"); ok {
			all[name] = p.deps
		}
	}
	return all
}
