package envelope

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/wire"
)

// changedByHops reports whether the attribute is rewritten on the way by design, and so never signed by us.
func changedByHops(name string) bool {
	return name == "traceparent" || name == "tracestate" || name == "partitionkey"
}

var errURI = errors.New("is not a URI that the SDK's event, in which consumers get it, could hold as it is")

// asDocumented gives an attribute that an application set the type that its name has, in canonical text.
func asDocumented(a wire.Attribute) (wire.Attribute, error) {
	if t, ok := wire.DocumentedType(a.Name); ok {
		if a.Type == wire.Binary {
			return a, fmt.Errorf("is of type %s, not Binary", t)
		}
		a.Type = t
	}
	var scratch [256]byte
	hashed, err := wire.AppendHashed(scratch[:0], a.Type, a.Value)
	if err != nil {
		return a, fmt.Errorf("as %s, %w", a.Type, err)
	}
	if a.Type == wire.Timestamp { // the only type with several texts for one value
		a.Value = string(hashed)
	}
	if a.Type == wire.URI || a.Type == wire.URIReference {
		if wire.CheckURI(a.Name, a.Value) != nil {
			return a, fmt.Errorf("as %s, %w", a.Type, errURI)
		}
	}
	return a, nil
}
