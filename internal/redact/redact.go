// Package redact keeps secrets out of what a program prints.
package redact

import (
	"fmt"
	"io"
)

// Text stands in the place of a secret.
const Text = "[redacted]"

// Hidden holds a secret in a function. Methods of the secret's type would not protect an unexported field:
// fmt does not call them, and with a verb that does not fit it even follows pointers. Of a function, fmt
// prints only the address.
type Hidden[T any] func() T

// Hide hides v.
func Hide[T any](v T) Hidden[T] { return func() T { return v } }

// Printed is embedded in a type that holds a secret. Package fmt with every verb, log/slog and encoding/json
// then print its text in the place of the value. A nil Printed prints Text.
type Printed func() string

// Key prints the kind and the ID of a private key.
func Key(kind, id string) Printed {
	return func() string { return kind + "(" + id + ", " + Text + ")" }
}

func (p Printed) print() string {
	if p == nil {
		return Text
	}
	return p()
}

// Format prints the text, whatever the verb.
func (p Printed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.print()) }

// MarshalText gives the text to encoding/json and log/slog.
func (p Printed) MarshalText() ([]byte, error) { return []byte(p.print()), nil }
