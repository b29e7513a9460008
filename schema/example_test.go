package schema_test

import (
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/schema"
)

func Example() {
	order, err := schema.Compile("order.json", map[string][]byte{"order.json": []byte(`{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"required": ["sku"],
		"properties": {"count": {"type": "integer", "minimum": 1}}
	}`)})
	if err != nil {
		panic(err)
	}
	set, err := schema.NewSet(&schema.Options{Types: map[string]*schema.Schema{"order.placed": order}})
	if err != nil {
		panic(err)
	}
	// The same set goes into producer.Options, consumer.Options and webhook.Validated.
	err = set.Validate(envelope.Document{Type: "order.placed", Data: []byte(`{"count":0}`)})
	if invalid, ok := errors.AsType[*envelope.SchemaError](err); ok {
		for _, f := range invalid.Faults {
			fmt.Printf("%q %s\n", f.Pointer, f.Keyword)
		}
	}
	// Output:
	// "" required
	// "/count" minimum
}
