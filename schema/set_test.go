package schema_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/schema"
)

const orderSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
	"required":["sku"],"properties":{"sku":{"type":"string","maxLength":8},
	"count":{"$ref":"common.json#/$defs/count"},
	"notes":{"type":"object","additionalProperties":{"type":"string"}}}}`

const commonSchema = `{"$defs":{"count":{"type":"integer","minimum":1}}}`

func files(set string) fstest.MapFS {
	return fstest.MapFS{
		"set.json":    {Data: []byte(set)},
		"order.json":  {Data: []byte(orderSchema)},
		"common.json": {Data: []byte(commonSchema)},
		"open.json":   {Data: []byte(`{"type":"object"}`)},
	}
}

const goodSet = `{"version":1,"types":{"order":"order.json"},
	"dataschemas":{"https://s.example/open":"open.json"},
	"references":{"https://s.example/common":"common.json"}}`

// refusal is the SchemaError of a document; nil = it is accepted.
func refusal(t *testing.T, s envelope.Validator, d envelope.Document) *envelope.SchemaError {
	t.Helper()
	err := s.Validate(d)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*envelope.SchemaError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	return invalid
}

func TestSetChoosesTheSchema(t *testing.T) {
	s, err := schema.ReadSet(files(goodSet), "set.json")
	if err != nil {
		t.Fatal(err)
	}
	const open, other = "https://s.example/open", "https://s.example/other"
	for _, c := range []struct {
		typ, dataSchema, contentType, data string
		accepted                           bool
	}{
		{"order", "", "application/json", `{"sku":"A","count":2}`, true},
		{"order", "", "", `{"sku":"A"}`, true},
		{"order", open, "application/json", `{"sku":"A"}`, true},
		{"order", open, "application/json", `{}`, false}, // both must accept
		{"order", other, "application/json", `{"sku":"A"}`, false},
		{"unknown", "", "application/json", `{"sku":"A"}`, false},
		{"Order", "", "application/json", `{"sku":"A"}`, false}, // exactly
		{"unknown", open, "application/json", `{}`, true},
		{"unknown", open, "application/json", `[]`, false},
		{"order", "", "text/plain", `{"sku":"A"}`, false},
		{"order", "", "application/json", ``, false},
		{"order", "", "application/json", `{"sku":"A"} {}`, false},
		{"order", "", "application/json", `{"sku":"A","sku":"B"}`, false},
		{"order", "", "application/json", `{"sku":"A","count":0}`, false}, // through the reference
		{"order", "", "application/vnd.x+json; charset=utf-8", `{"sku":"A"}`, true},
	} {
		d := envelope.Document{Type: c.typ, DataSchema: c.dataSchema, ContentType: c.contentType,
			Data: []byte(c.data)}
		if got := refusal(t, s, d); (got == nil) != c.accepted {
			t.Errorf("%+v %s: %v", c, c.data, got)
		}
	}
}

func TestUnlisted(t *testing.T) {
	set := strings.Replace(goodSet, `"version":1`, `"version":1,"unlisted":"unsafe-allow"`, 1)
	s, err := schema.ReadSet(files(set), "set.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, s, envelope.Document{Type: "unknown", Data: []byte("x")}); got != nil {
		t.Error(got)
	}
	if refusal(t, s, envelope.Document{Type: "unknown", DataSchema: "https://s.example/other"}) == nil {
		t.Error("a dataschema that is not on the list passes")
	}
}

// TestFaults: sorted, each once, at most ten, without a value and without a name that is data.
func TestFaults(t *testing.T) {
	s, err := schema.Compile("s", map[string][]byte{"s": []byte(`{"properties":{
		"card":{"type":"string","pattern":"^[0-9]{16}$"},"a/b~c":{"type":"integer"},
		"holders":{"additionalProperties":{"type":"integer"}},"list":{"items":{"const":1}},
		"strict":{"additionalProperties":false},"names":{"propertyNames":{"maxLength":3}}},"required":["id"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ data, faults string }{
		{`{}`, " required"},
		{`{"id":1,"card":"canary"}`, "/card pattern"},
		{`{"id":1,"card":7}`, "/card type"},
		{`{"id":1,"a/b~c":"canary"}`, "/a~1b~0c type"},
		{`{"id":1,"holders":{"canary":"x","canary2":"y"}}`, "/holders type"},
		{`{"id":1,"list":[1,"canary",1,2]}`, "/list/1 const,/list/3 const"},
		{`{"id":1,"strict":{"canary":1}}`, "/strict additionalProperties"},
		{`{"id":1,"names":{"canary":1}}`, "/names propertyNames"},
	} {
		var invalid *envelope.SchemaError
		if !errors.As(s.Validate([]byte(c.data)), &invalid) {
			t.Errorf("%s passes", c.data)
			continue
		}
		var got []string
		for _, f := range invalid.Faults {
			got = append(got, f.Pointer+" "+f.Keyword)
		}
		if strings.Join(got, ",") != c.faults {
			t.Errorf("%s: %q, want %q", c.data, got, c.faults)
		}
		if strings.Contains(invalid.Error(), "canary") {
			t.Errorf("the error quotes data: %v", invalid)
		}
	}
}

// TestPointersAreShort: a pointer ends before a name by which it would have more than 256 bytes.
func TestPointersAreShort(t *testing.T) {
	long := strings.Repeat("n", 250)
	s, err := schema.Compile("s", map[string][]byte{"s": []byte(`{"properties":{"` + long +
		`":{"properties":{"abcd":{"type":"string"},"abcde":{"type":"string"}}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for member, pointer := range map[string]string{"abcd": "/" + long + "/abcd", "abcde": "/" + long} {
		var invalid *envelope.SchemaError
		err := s.Validate([]byte(`{"` + long + `":{"` + member + `":1}}`))
		if !errors.As(err, &invalid) || len(invalid.Faults) != 1 || invalid.Faults[0].Pointer != pointer {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// TestAnotherCaseIsRefused: encoding/json takes COUNT for count, so a schema that allows unknown members
// would not see the value that a handler gets.
func TestAnotherCaseIsRefused(t *testing.T) {
	s, err := schema.Compile("s", map[string][]byte{"s": []byte(`{"properties":{"count":{"minimum":1},
		"kind":{},"id":{},"ID":{},"labels":{"additionalProperties":{"type":"string"}}},
		"patternProperties":{"^x-":{"type":"string"}},"not":{"required":["admin"]},
		"dependentRequired":{"dep":["id"]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for data, accepted := range map[string]bool{
		`{"count":1}`:                          true,
		`{"count":1,"COUNT":-5}`:               false,
		`{"Count":1}`:                          false,
		"{\"\u212aind\":1}":                    false, // the Kelvin sign is a k
		`{"id":1,"ID":2}`:                      true,
		`{"labels":{"Count":"a","count":"b"}}`: true, // no property there
		`{"counter":1}`:                        true,
		`{"ADMIN":true}`:                       false, // "not" looks for admin
		`{"Dep":1}`:                            false,
		`{"X-a":1}`:                            true, // patterns are as they are written
	} {
		if err := s.Validate([]byte(data)); (err == nil) != accepted {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestReadSetRefuses(t *testing.T) {
	for name, set := range map[string]string{
		"another version":     `{"version":2,"types":{"order":"order.json"}}`,
		"no version":          `{"types":{"order":"order.json"}}`,
		"no schemas":          `{"version":1}`,
		"unknown member":      `{"version":1,"types":{"order":"order.json"},"type":{}}`,
		"a missing file":      `{"version":1,"types":{"order":"missing.json"}}`,
		"a file outside":      `{"version":1,"types":{"order":"../order.json"}}`,
		"an absolute path":    `{"version":1,"types":{"order":"/etc/hostname"}}`,
		"unlisted":            `{"version":1,"types":{"order":"order.json"},"unlisted":"allow"}`,
		"an empty type":       `{"version":1,"types":{"":"open.json"}}`,
		"a missing reference": `{"version":1,"types":{"order":"order.json"}}`,
		"twice":               `{"version":1,"version":1,"types":{"open":"open.json"}}`,
	} {
		if s, err := schema.ReadSet(files(set), "set.json"); err == nil || s != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestNoFileIsLoaded that was not given, although it is there and is a schema.
func TestNoFileIsLoaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(file, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"file://" + filepath.ToSlash(file), filepath.ToSlash(file)} {
		doc := []byte(`{"$ref":"` + ref + `"}`)
		if s, err := schema.Compile("s", map[string][]byte{"s": doc}); err == nil || s != nil {
			t.Errorf("%s is loaded", ref)
		}
	}
}

func TestNewSetRefuses(t *testing.T) {
	for name, o := range map[string]*schema.Options{
		"nil": nil, "empty": {}, "unlisted only": {UnsafeUnlisted: true},
		"a nil schema":  {Types: map[string]*schema.Schema{"a": nil}},
		"a zero schema": {Types: map[string]*schema.Schema{"a": {}}},
	} {
		if s, err := schema.NewSet(o); err == nil || s != nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestConvert: the exports convert to a schema that judges as the export means.
func TestConvert(t *testing.T) {
	for _, c := range []struct{ file, typ, good, bad string }{
		{"openapi3.json", "OrderPlaced", `{"sku":"A","count":3,"gift":null}`, `{"sku":"A","count":0}`},
		{"draft4.json", "OrderPlaced", `{"sku":"A","count":3}`, `{"sku":"A","count":0}`},
		{"cloudevent.json", "com.example.order.placed", `{"sku":"A"}`, `{"sku":1}`},
	} {
		t.Run(c.file, func(t *testing.T) {
			export, err := os.ReadFile("testdata/registry/" + c.file)
			if err != nil {
				t.Fatal(err)
			}
			typ, document, err := schema.Convert(export)
			if err != nil || typ != c.typ {
				t.Fatalf("%q, %v", typ, err)
			}
			s, err := schema.Compile(c.file, map[string][]byte{c.file: document})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate([]byte(c.good)); err != nil {
				t.Error(err)
			}
			if s.Validate([]byte(c.bad)) == nil {
				t.Error("what does not follow the export passes")
			}
		})
	}
}

func TestConvertRefuses(t *testing.T) {
	open := func(detail string) string {
		return `{"openapi":"3.0.0","components":{"schemas":{"AWSEvent":{"x-amazon-events-detail-type":"T",` +
			`"properties":{"detail":` + detail + `}}}}}`
	}
	if _, _, err := schema.Convert([]byte(open(`{"type":"object"}`))); err != nil {
		t.Fatal(err)
	}
	for name, export := range map[string]string{
		"discriminator":    open(`{"discriminator":{"propertyName":"kind"}}`),
		"id":               open(`{"id":"https://s.example/x"}`),
		"a $ref outside":   open(`{"$ref":"https://s.example/x"}`),
		"a $ref to a file": open(`{"$ref":"other.json"}`),
		"a $ref to itself": open(`{"$ref":"#/components/schemas/AWSEvent"}`),
		"a nullable enum":  open(`{"type":"string","nullable":true,"enum":["a"]}`),
		"a later draft":    open(`{"if":{}}`),
		"a number as flag": open(`{"minimum":1,"exclusiveMinimum":5}`),
		"a flag alone":     open(`{"exclusiveMaximum":true}`),
		"odd nullable":     open(`{"type":"string","nullable":"true"}`),
		"no detail": `{"openapi":"3.0.0","components":{"schemas":{"AWSEvent":{` +
			`"x-amazon-events-detail-type":"T"}}}}`,
		"no type": `{"openapi":"3.0.0","components":{"schemas":{"AWSEvent":{` +
			`"properties":{"detail":{}}}}}}`,
		"OpenAPI 3.1":       `{"openapi":"3.1.0","components":{"schemas":{"AWSEvent":{}}}}`,
		"no AWSEvent":       `{"openapi":"3.0.0","components":{"schemas":{}}}`,
		"draft 7":           `{"$schema":"http://json-schema.org/draft-07/schema#"}`,
		"no JSON":           `openapi: 3.0.0`,
		"an array":          `[]`,
		"properties no map": open(`{"properties":[]}`),
	} {
		if typ, doc, err := schema.Convert([]byte(export)); err == nil || typ != "" && doc != nil {
			t.Errorf("%s: taken", name)
		}
	}
}
