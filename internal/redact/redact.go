// Package redact keeps secrets out of what a program prints.
package redact

import (
	"fmt"
	"io"
)

// Text stands in the place of a secret.
const Text = "[redacted]"

// Hidden holds a secret in a function. Methods do not protect an unexported field: fmt calls none on it, and
// with a verb that does not fit it even follows pointers. Of a function it prints the address only.
type Hidden[T any] func() T

// Hide hides v.
func Hide[T any](v T) Hidden[T] { return func() T { return v } }

// Format serves Format methods: the same text for every verb.
func Format(f fmt.State, text string) { _, _ = io.WriteString(f, text) }

// Name is the text of a private key of that ID; "" = it has none.
func Name(kind, id string) string {
	if id == "" {
		return kind + "(" + Text + ")"
	}
	return kind + "(" + id + ", " + Text + ")"
}
