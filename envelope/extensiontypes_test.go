package envelope_test

import (
	"testing"

	"github.com/sealbus/sealbus/envelope"
)

func TestCheckExtensionTypes(t *testing.T) {
	all := map[string]envelope.AttributeType{
		"a": envelope.Boolean, "b": envelope.Integer, "c": envelope.String, "d": envelope.Binary,
		"e": envelope.URI, "f": envelope.URIReference, "g": envelope.Timestamp,
	}
	if err := envelope.CheckExtensionTypes(all); err != nil {
		t.Error(err)
	}
	for _, none := range []envelope.AttributeType{0, envelope.Timestamp + 1, 255} {
		if err := envelope.CheckExtensionTypes(map[string]envelope.AttributeType{"x": none}); err == nil {
			t.Errorf("%v is taken for a type", none)
		}
	}
}

// TestAttributeTypeNames: each type is the one that its name says, in vectors, payloads and errors.
func TestAttributeTypeNames(t *testing.T) {
	for typ, name := range map[envelope.AttributeType]string{
		envelope.Boolean: "Boolean", envelope.Integer: "Integer", envelope.String: "String", envelope.Binary: "Binary",
		envelope.URI: "URI", envelope.URIReference: "URI-reference", envelope.Timestamp: "Timestamp",
	} {
		if typ.String() != name {
			t.Errorf("%d is called %s, want %s", typ, typ, name)
		}
	}
}
