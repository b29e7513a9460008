package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// dialers are the packages that make something that connects, and why they need not go through
// internal/dialguard. An address that a stranger can influence, such as that of an endpoint or one that a
// delivery names, goes through it: internal/dialguard has no row for its users, because they make nothing.
var dialers = map[string]string{
	"internal/dialguard":              "the guard",
	"internal/localaws":               "an AWS inside the process, at addresses of this machine",
	"internal/lossy":                  "a proxy for tests",
	"internal/fetch":                  "the operator's URL of a trust bundle or a key set, which may be inside",
	"webhook/authn/clientcredentials": "the operator's URLs of a token endpoint and of APIs",
	"cmd/sealbus/internal/clitest":    "tests of the command",
	"cmd/sealbus/internal/dev":        "the server that it runs itself, on this machine",
	"cmd/sealbus/internal/listen":     "--forward-to: the operator's own program, at a URL of the command line",
	"cmd/sealbus/internal/webhook":    "resend --to: the operator's own program, at a URL of the command line",
	"examples/orders/orderstest":      "the Lambda functions that it runs, on this machine",
	"examples/webhooks":               "posts to itself",
	"examples/confidential":           "an AWS inside the process",
	"examples/news":                   "calls itself",
}

// connecting are the names of packages that make connections when a value of them is used.
var connecting = map[string][]string{
	"net/http": {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Post", "PostForm",
		"Head"},
	"net": {"Dialer", "Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "LookupHost",
		"LookupIP", "LookupAddr"},
	"crypto/tls":             {"Dialer", "Dial", "DialWithDialer"},
	"net/smtp":               {"Dial", "SendMail"},
	"net/rpc":                {"Dial", "DialHTTP"},
	"net/http/httputil":      {"ReverseProxy", "NewSingleHostReverseProxy"},
	"golang.org/x/net/http2": {"Transport"},
}

// TestDialersAreKnown: each package that makes a client, a transport or a dialer, or that connects by a
// function of the standard library, is in the table, and each row of the table does.
func TestDialersAreKnown(t *testing.T) {
	found := map[string][]string{}
	for name, text := range filesNamed(t, ".go") {
		dir := filepath.ToSlash(filepath.Dir(name))
		if strings.HasSuffix(name, "_test.go") || strings.Contains(dir+"/", "testdata/") ||
			slices.ContainsFunc([]string{"interop", "bench",
				".ci"}, func(d string) bool { return below(d)(dir) }) {
			continue // tests, and modules of their own
		}
		found[dir] = append(found[dir], connects(t, text)...)
	}
	maps.DeleteFunc(found, func(_ string, uses []string) bool { return len(uses) == 0 })
	for dir, uses := range found {
		if dialers[dir] == "" {
			t.Errorf("%s connects by %v: go through internal/dialguard if a stranger can influence the "+
				"address, else say in the table why not", dir, uses)
		}
	}
	for dir := range dialers {
		if found[dir] == nil {
			t.Errorf("%s does not connect: it needs no row", dir)
		}
	}
}

// connects are the uses in a file of what makes connections. The name of a type in a declaration, such as
// that of a field or of an argument, is none, if it is a pointer: it makes nothing.
func connects(t *testing.T, text string) (uses []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if connecting[path] != nil {
			imported[name] = path
			if name == "." {
				uses = append(uses, "all of "+path)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			sel, isName := n.X.(*ast.SelectorExpr) // *http.Client is a pointer to one that was made elsewhere
			return !isName || strings.HasPrefix(sel.Sel.Name, "Default")
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if ok && slices.Contains(connecting[imported[pkg.Name]], n.Sel.Name) {
				uses = append(uses, pkg.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return uses
}

// TestDialersAreSeen shows that the search finds what it should, and only that.
func TestDialersAreSeen(t *testing.T) {
	for text, want := range map[string]int{
		`import "net/http"; var c = http.Client{}`:                                   1,
		`import "net/http"; var c = &http.Client{Transport: &http.Transport{}}`:      2,
		`import "net/http"; var c = new(http.Transport)`:                             1,
		`import "net/http"; var c http.Client`:                                       1,
		`import "net/http"; type t struct { c http.Client }`:                         1,
		`import "net/http"; type t struct { http.Client }`:                           1,
		`import h "net/http"; var c = h.DefaultClient`:                               1,
		`import "net/http"; var c = http.DefaultTransport.(*http.Transport).Clone()`: 1,
		`import "net/http"; var c = *http.DefaultClient`:                             1,
		`import . "net/http"; var c = Client{}`:                                      1,
		`import "net/http"; func f() { http.Get("") }`:                               1,
		`import "net/http"; var get = http.Get`:                                      1,
		`import "net"; func f() { net.Dial("tcp", "") }`:                             1,
		`import "net"; func f() { (&net.Dialer{}).Dial("tcp", "") }`:                 1,
		`import "crypto/tls"; var d = tls.Dialer{}`:                                  1,
		`import "net/http"; func f(c *http.Client) *http.Transport { return nil }`:   0,
		`import "net/http"; type t struct { c *http.Client }`:                        0,
		`import "net/http"; func f(c http.RoundTripper, r http.Header) {}`:           0,
		`import "example.com/http"; var c = http.Client{}`:                           0,
		`import "net"; var l, _ = net.Listen("tcp", "")`:                             0,
	} {
		if got := connects(t, "package p; "+text); len(got) != want {
			t.Errorf("%s: %v, want %d", text, got, want)
		}
	}
}
