package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/suite/exceptions.txt")

// suiteGroup is one line of the suite: a schema, and data with verdicts.
type suiteGroup struct {
	File, Description string
	Schema            json.RawMessage
	Tests             []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

const suiteURL = "http://localhost:1234/"

// TestSuite runs JSON-Schema-Test-Suite. The tests that do not pass are those of exceptions.txt, each with
// the reason, no more and no less.
func TestSuite(t *testing.T) {
	var exceptions []string
	total := 0
	for _, draft := range []struct{ name, uri string }{{"draft7", draft7 + "#"}, {"draft2020-12", draft20}} {
		remotes := suiteRemotes(t, draft.name, draft.uri)
		for _, line := range suiteLines(t, draft.name+".jsonl") {
			var g suiteGroup
			if err := json.Unmarshal(line, &g); err != nil {
				t.Fatal(err)
			}
			total += len(g.Tests)
			for _, found := range runGroup(&g, draft.uri, remotes) {
				exceptions = append(exceptions, draft.name+": "+g.File+": "+g.Description+": "+found)
			}
		}
	}
	if total < 1500 {
		t.Fatalf("the suite has only %d tests", total)
	}
	t.Logf("%d of %d tests are exceptions:\n%s", len(exceptions), total, strings.Join(exceptions, "\n"))
	file := filepath.Join("testdata", "suite", "exceptions.txt")
	text := strings.Join(append(exceptions, ""), "\n")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the exceptions are not those of %s", file)
	}
}

// runGroup is what does not pass.
func runGroup(g *suiteGroup, uri string, remotes map[string][]byte) (exceptions []string) {
	name := suiteURL + "schema.json"
	documents := map[string][]byte{name: withDialect(g.Schema, uri)}
	for url, doc := range remotes {
		if bytes.Contains(g.Schema, []byte("ref")) { // few groups refer to anything
			documents[url] = doc
		}
	}
	s, err := Compile(name, documents)
	if err != nil {
		return []string{"not compiled: " + err.Error()}
	}
	for _, test := range g.Tests {
		if got := s.Validate(test.Data) == nil; got != test.Valid {
			exceptions = append(exceptions, fmt.Sprintf("%s: valid is %v", test.Description, got))
		}
	}
	return exceptions
}

// withDialect adds $schema to a schema that has none, and leaves its text alone otherwise.
func withDialect(schema json.RawMessage, uri string) []byte {
	text := bytes.TrimSpace(schema)
	var top map[string]json.RawMessage
	if json.Unmarshal(text, &top) != nil || top["$schema"] != nil {
		return text
	}
	separator := ","
	if len(top) == 0 {
		separator = ""
	}
	return []byte(fmt.Sprintf(`{"$schema":%q%s%s`, uri, separator, bytes.TrimSpace(text[1:])))
}

func suiteLines(t *testing.T, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "suite", file))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

// suiteRemotes are the remote documents of a draft, by URL. Those of other dialects are left out: the tests
// that need them are exceptions.
func suiteRemotes(t *testing.T, draft, uri string) map[string][]byte {
	t.Helper()
	remotes := map[string][]byte{}
	for _, line := range suiteLines(t, "remotes.jsonl") {
		var r struct {
			Path   string
			Schema json.RawMessage
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(r.Path, "draft") && !strings.HasPrefix(r.Path, draft+"/") {
			continue
		}
		doc := withDialect(r.Schema, uri)
		if _, err := readSchema(doc); err != nil {
			t.Logf("%s is left out: %v", r.Path, err)
			continue
		}
		remotes[suiteURL+r.Path] = doc
	}
	return remotes
}
