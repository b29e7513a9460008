package reviewed_test

import (
	"errors"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/reviewed"
)

// Each thing that a reviewer could misread is refused with its place. keys/trust/policy tests many more.
func TestDocumentRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		doc          string
		line, column int
	}{
		"empty":           {"", 0, 0},
		"no YAML":         {"a: [", 0, 0},
		"two documents":   {"a: 1\n---\nb: 2\n", 2, 0},
		"not UTF-8":       {"a: \xff\n", 1, 0},
		"a tab":           {"a:\n\tb: 1\n", 2, 0},
		"a directive":     {"%YAML 1.2\n---\na: 1\n", 1, 0},
		"an anchor":       {"a: &b 1\n", 1, 4},
		"a tag":           {"a: !b 1\n", 1, 4},
		"a merge key":     {"a: 1\n<<: {b: 2}\n", 2, 1},
		"a name twice":    {"a: 1\nb: 2\na: 3\n", 3, 1},
		"an escape":       {`a: "\x41"` + "\n", 1, 4},
		"several lines":   {"a: |\n  b\n", 1, 4},
		"a key of a list": {"[a]: 1\n", 1, 1},
	} {
		root, err := reviewed.Document([]byte(c.doc))
		e, _ := err.(*reviewed.Error)
		if root != nil || e == nil || e.Line != c.line || e.Column != c.column {
			t.Errorf("%s: %v, want line %d, column %d", name, err, c.line, c.column)
		}
	}
}

// The first fault sticks.
func TestReader(t *testing.T) {
	root, err := reviewed.Document([]byte("a: [x, 1]\nb: y\nc: z\n"))
	if err != nil {
		t.Fatal(err)
	}
	var r reviewed.Reader
	seen := ""
	r.Fields(root, "the file", func(key, value *yaml.Node) bool {
		seen += key.Value
		if key.Value == "a" {
			r.Strings(value, "!!str")
		}
		return key.Value == "a"
	})
	r.Check(root, errors.New("later"))
	if e, _ := r.Err.(*reviewed.Error); seen != "a" || e == nil || e.Line != 1 || e.Column != 8 {
		t.Errorf("%s: %v", seen, r.Err)
	}
	if !errors.Is(r.Err, errors.Unwrap(r.Err)) {
		t.Errorf("%v hides its cause", r.Err)
	}
}
