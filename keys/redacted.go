package keys

import (
	"fmt"
	"io"

	"github.com/sealbus/sealbus/internal/jsontext"
)

const redactedText = "[redacted]"

// hidden holds a secret in a function. Methods do not protect an unexported field: fmt calls none on it, and
// with a verb that does not fit it even follows pointers. Of a function it prints the address only.
type hidden[T any] func() T

func hide[T any](v T) hidden[T] { return func() T { return v } }

// writeRedacted serves Format methods: the same text for every verb.
func writeRedacted(f fmt.State, s fmt.Stringer) { _, _ = io.WriteString(f, s.String()) }

// redactedName is for a private key of that ID; "" = it has none.
func redactedName(kind, id string) string {
	if id == "" {
		return kind + "(" + redactedText + ")"
	}
	return kind + "(" + id + ", " + redactedText + ")"
}

func marshalRedacted(s fmt.Stringer) ([]byte, error) {
	return jsontext.AppendQuote(nil, s.String()), nil
}
