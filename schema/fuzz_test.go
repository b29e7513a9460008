package schema

import (
	"errors"
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

// FuzzSchema: a schema is refused or bounded, and data is accepted or refused by a SchemaError that a sender
// may see: few faults, and pointers that lead to a value of the data.
func FuzzSchema(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"type":"object","properties":{"a":{"$ref":"#"}}}`, `{"a":{"a":1}}`},
		{`{"allOf":[{"$ref":"#/$defs/x"}],"$defs":{"x":{"minimum":1e2}}}`, `99`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[true],"additionalItems":false}`, `[1,2]`},
		{`{"$dynamicAnchor":"n","properties":{"n":{"$dynamicRef":"#n"}},"unevaluatedProperties":false}`,
			`{"n":{"x":1}}`},
		{`{"patternProperties":{"^x":{"pattern":"a+"}},"propertyNames":{"maxLength":2}}`, `{"xyz":"b"}`},
		{`{"uniqueItems":true,"contains":{"const":{"a":[1.0]}}}`, `[{"a":[1]},{"a":[1e0]}]`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":false}`, `{"a":1}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, data string) {
		s, err := one(schema)
		if err != nil {
			return
		}
		err = s.Validate([]byte(data))
		if err == nil {
			return
		}
		invalid, ok := errors.AsType[*envelope.SchemaError](err)
		if !ok {
			t.Fatalf("%T", err)
		}
		if len(invalid.Faults) > envelope.MaxSchemaFaults || (len(invalid.Faults) == 0) == (invalid.Cause == "") {
			t.Fatalf("%+v", invalid)
		}
		v, _ := parse([]byte(data), 0)
		for _, fault := range invalid.Faults {
			if _, err := lookUp(v, fault.Pointer); err != nil || fault.Keyword == "" {
				t.Fatalf("%+v: %v", fault, err)
			}
		}
	})
}

// FuzzConvert: what an export is converted to is a schema, or it is refused by Compile with a sentence.
func FuzzConvert(f *testing.F) {
	f.Add(`{"openapi":"3.0.0","components":{"schemas":{"AWSEvent":{"x-amazon-events-detail-type":"T",` +
		`"properties":{"detail":{"type":"string","nullable":true}}}}}}`)
	f.Add(`{"$schema":"http://json-schema.org/draft-04/schema#","x-amazon-events-detail-type":"T",` +
		`"properties":{"detail":{"$ref":"#/definitions/A"}},` +
		`"definitions":{"A":{"minimum":1,"exclusiveMinimum":true}}}`)
	f.Fuzz(func(t *testing.T, export string) {
		typ, document, err := Convert([]byte(export))
		if (err == nil) != (document != nil) || err == nil && typ == "" {
			t.Fatalf("%q, %d bytes, %v", typ, len(document), err)
		}
		if err == nil {
			_, _ = Compile("export", map[string][]byte{"export": document})
		}
	})
}
