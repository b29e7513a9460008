// Package house holds the tests of the building itself: who may import whom.
package house

import (
	"bufio"
	"bytes"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealbus/sealbus"

// table is design section 3: which of our packages each package may reach, directly or through others. Entries are
// relative to the module; "internal/..." covers what is below.
var table = map[string][]string{
	"keys":                 {"internal/b64", "internal/canonical", "internal/dsse", "internal/jsonwrite", "internal/strictjson"},
	"envelope":             {"keys", "internal/..."},
	"producer":             {"keys", "envelope", "internal/..."},
	"producer/eventbridge": {"keys", "envelope", "producer", "internal/..."},
	"consumer":             {"keys", "envelope", "consumer/replay", "internal/..."},
	"consumer/replay":      {},
	"keys/policy":          {"keys", "internal/..."},
	"internal/awsfake":     {},
	"internal/b64":         {},
	"internal/canonical":   {},
	"internal/jsonwrite":   {},
	"internal/strictjson":  {"internal/canonical"},
	"internal/dsse":        {"internal/b64", "internal/canonical", "internal/jsonwrite", "internal/strictjson"},
	"internal/cejson":      {"internal/canonical", "internal/jsonwrite", "internal/strictjson", "internal/b64"},
}

// core is what a webhook receiver or a consumer Lambda links.
var core = []string{"keys", "envelope", "consumer", "consumer/replay", "producer"}

// confined are modules that only the sub-package named after them may link.
var confined = []string{"aws-sdk-go", "aws-lambda-go", "redis", "tink", "opentelemetry", "go.yaml.in", "gopkg.in/yaml", "spf13/cobra", "testscript", "go-jose", "gowebpki"}

// named are the sub-packages that link a confined module: the one they are named after.
var named = map[string]string{"producer/eventbridge": "aws-sdk-go"}

// forbidden are packages that the core and its sub-packages have no business with.
var forbidden = []string{"testing", "flag", "net/http/httptest", module + "/internal/awsfake"}

func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/"+pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	var list []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		list = append(list, s.Text())
	}
	if len(list) == 0 {
		t.Fatalf("go list -deps %s: only %v", pkg, list)
	}
	return list
}

func TestImportTable(t *testing.T) {
	for pkg, allowed := range table {
		for _, dep := range deps(t, pkg) {
			name, ours := strings.CutPrefix(dep, module+"/")
			if ours && name != pkg && !allows(allowed, name) {
				t.Errorf("%s reaches %s, which the table of design section 3 does not allow", pkg, name)
			}
		}
	}
}

func allows(allowed []string, name string) bool {
	for _, a := range allowed {
		prefix, tree := strings.CutSuffix(a, "...")
		if a == name || tree && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func TestCoreLinksNoCloud(t *testing.T) {
	for _, pkg := range core {
		if links := confinedIn(t, pkg); len(links) > 0 {
			t.Errorf("%s links %v", pkg, links)
		}
	}
}

// TestNamedLinkTheirOwn also shows that confinedIn finds something.
func TestNamedLinkTheirOwn(t *testing.T) {
	for pkg, own := range named {
		if links := confinedIn(t, pkg); !maps.Equal(links, map[string]bool{own: true}) {
			t.Errorf("%s links %v, it is there for %s", pkg, links, own)
		}
	}
}

// confinedIn is which confined modules, or forbidden packages, a package links.
func confinedIn(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, dep := range deps(t, pkg) {
		for _, module := range confined {
			if strings.Contains(dep, module) {
				found[module] = true
			}
		}
		if slices.Contains(forbidden, dep) {
			found[dep] = true
		}
	}
	return found
}

// TestTableSeesABreach shows that the check can fail: the CLI reaches all over the house.
func TestTableSeesABreach(t *testing.T) {
	breaches := 0
	for _, dep := range deps(t, "cmd/sealbus") {
		if name, ours := strings.CutPrefix(dep, module+"/"); ours && !allows(table["keys"], name) {
			breaches++
		}
	}
	if breaches == 0 {
		t.Error("the command reaches nothing beyond what keys may: the check is blind")
	}
}
