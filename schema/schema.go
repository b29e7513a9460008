package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sealbus/sealbus/envelope"
)

// Limits of a schema.
const (
	// MaxSchema is the most bytes of one document.
	MaxSchema = 256 << 10
	// MaxNodes is how many values a document may have, how many subschemas a schema may reach, and how many
	// of them may judge one value. 2^22 nested allOf, which fit in a kilobyte, would take half a minute.
	MaxNodes = 10_000
)

// The drafts that are read, as $schema names them.
const (
	draft7  = "http://json-schema.org/draft-07/schema"
	draft20 = "https://json-schema.org/draft/2020-12/schema"
)

// Schema is one compiled JSON Schema. It is safe for concurrent use.
type Schema struct {
	name  string
	root  *jsonschema.Schema
	graph *graph
}

// Compile compiles the schema in documents[name]. Names are absolute URIs, or relative ones, which are
// resolved against "schema:///". A $ref may lead to each of the documents, and to the metaschemas of the two
// drafts. It refuses a schema that exceeds a bound, with a sentence that says which and where.
func Compile(name string, documents map[string][]byte) (*Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(deny{})
	c.UseRegexpEngine(compilePattern)
	if _, ok := documents[name]; !ok {
		return nil, fmt.Errorf("schema: there is no document %.200q", name)
	}
	var anchored []string // locations of subschemas with a $dynamicAnchor
	for _, n := range slices.Sorted(maps.Keys(documents)) {
		doc, err := readSchema(documents[n])
		if err != nil {
			return nil, fmt.Errorf("schema: %.200q: %w", n, err)
		}
		at, err := location(n)
		if err != nil {
			return nil, err
		}
		if err := c.AddResource(at, doc); err != nil {
			return nil, fmt.Errorf("schema: %.200q: %w", n, explain(err))
		}
		anchored = append(anchored, dynamicAnchors(doc, at+"#")...)
	}
	at, _ := location(name)
	root, err := c.Compile(at)
	if err != nil {
		return nil, fmt.Errorf("schema: %.200q: %w", name, explain(err))
	}
	g := newGraph()
	g.roots = append(g.roots, root)
	for _, l := range anchored {
		// A $dynamicRef may lead to it, although no $ref does.
		s, err := c.Compile(l)
		if err != nil {
			return nil, fmt.Errorf("schema: %.200q: %w", name, explain(err))
		}
		g.roots = append(g.roots, s)
	}
	if err := g.build(); err != nil {
		return nil, fmt.Errorf("schema: %.200q: %w", name, err)
	}
	return &Schema{name: name, root: root, graph: g}, nil
}

// location is the absolute URI of a document. A relative name never becomes a path in the file system, as it
// would by the library's own rule.
func location(name string) (string, error) {
	u, err := url.Parse(name)
	if err != nil || name == "" || u.Fragment != "" {
		return "", fmt.Errorf("schema: the name %.200q is no URI without a fragment", name)
	}
	if u.IsAbs() {
		return name, nil
	}
	base := url.URL{Scheme: "schema", Path: "/"}
	return base.ResolveReference(u).String(), nil
}

// deny loads nothing.
type deny struct{}

func (deny) Load(string) (any, error) {
	return nil, errors.New("the document is not among those given, and nothing is fetched")
}

// readSchema reads a document within the limits.
func readSchema(text []byte) (any, error) {
	if len(text) > MaxSchema {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(text), MaxSchema)
	}
	doc, err := parse(text, MaxNodes)
	if err != nil {
		return nil, err
	}
	if err := checkKeywords(doc); err != nil {
		return nil, err
	}
	if left := maxAllInstructions; !checkPatterns(doc, &left) {
		return nil, fmt.Errorf("its patterns have programs of more than %d instructions: write fewer, or "+
			"shorter ones", maxAllInstructions)
	}
	return doc, nil
}

// counted are the keywords that the library reads as an int, without a look at its range.
var counted = []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
	"minContains", "maxContains"}

// checkKeywords refuses a $schema of another draft and a count of 2^31 or more, wherever they are: a
// subschema may have a $schema of its own.
func checkKeywords(v any) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := checkKeywords(e); err != nil {
				return err
			}
		}
	case map[string]any:
		if d, ok := v["$schema"].(string); ok {
			if d = strings.TrimSuffix(d, "#"); d != draft7 && d != draft20 {
				return fmt.Errorf("$schema is %.200q: declare draft 7 (%s#) or 2020-12 (%s), and follow it",
					d, draft7, draft20)
			}
		}
		for _, keyword := range counted {
			if n, ok := v[keyword].(json.Number); ok {
				if f, err := n.Float64(); err != nil || f >= 1<<31 {
					return fmt.Errorf("%s is %s: it must be less than 2^31", keyword, n)
				}
			}
		}
		for _, e := range v {
			if err := checkKeywords(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// dynamicAnchors are the locations of all objects that have a $dynamicAnchor.
func dynamicAnchors(v any, at string) (found []string) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			found = append(found, dynamicAnchors(e, fmt.Sprintf("%s/%d", at, i))...)
		}
	case map[string]any:
		if _, ok := v["$dynamicAnchor"].(string); ok {
			found = append(found, at)
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			found = append(found, dynamicAnchors(v[name], at+"/"+url.PathEscape(escapePointer(name)))...)
		}
	}
	return found
}

// Name is the name that the schema was compiled by.
func (s *Schema) Name() string { return s.name }

// Validate judges JSON text. The error is an *envelope.SchemaError.
func (s *Schema) Validate(text []byte) error {
	if len(text) > MaxData {
		return s.refuse(fmt.Sprintf("it has %d bytes, at most %d are judged", len(text), MaxData))
	}
	v, err := parse(text, 0)
	if err != nil {
		return s.refuse(err.Error())
	}
	if cause := s.graph.refusal(s.root, v); cause != "" {
		return s.refuse(cause)
	}
	return s.judge(v)
}

// judge asks the library. A panic of it is a refusal: it says nothing good about the data.
func (s *Schema) judge(v any) (err error) {
	defer func() {
		if recover() != nil {
			err = s.refuse("the library could not judge it")
		}
	}()
	err = s.root.Validate(v)
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return s.refuse("the library could not judge it")
	}
	f := faults{names: s.graph.names, data: v}
	f.collect(failed)
	return &envelope.SchemaError{Schema: s.name, Faults: f.found, More: f.more}
}

func (s *Schema) refuse(cause string) *envelope.SchemaError {
	return &envelope.SchemaError{Schema: s.name, Cause: cause}
}
