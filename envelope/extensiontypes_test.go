package envelope_test

import (
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
)

// Each type of CloudEvents 1.0 can be declared under its name, and under no other. The vectors and the
// payloads have the same names.
func TestExtensionTypesAreThoseOfTheStandard(t *testing.T) {
	open := func(name string) error {
		_, err := envelope.NewOpener(bundleOf(t, "orders"),
			&envelope.Policy{Unsafe: unchecked, ExtensionTypes: map[string]string{"x": name}})
		return err
	}
	for name, typ := range map[string]wire.Type{
		"Boolean": wire.Boolean, "Integer": wire.Integer, "String": wire.String, "Binary": wire.Binary,
		"URI": wire.URI, "URI-reference": wire.URIReference, "Timestamp": wire.Timestamp,
	} {
		if err := open(name); err != nil || wire.TypeNamed(name) != typ || typ.String() != name {
			t.Errorf("%s: %v is %v, %v", name, typ, wire.TypeNamed(name), err)
		}
	}
	for _, none := range []string{"", "binary", "URIReference", "Type(0)"} {
		if err := open(none); err == nil || wire.TypeNamed(none) != 0 {
			t.Errorf("%q is taken for a type", none)
		}
	}
}
