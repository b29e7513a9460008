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
