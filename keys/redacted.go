package keys

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/sealbus/sealbus/internal/jsonwrite"
)

// redacted makes whatever embeds it print, log and marshal without its content.
type redacted struct{}

const redactedText = "[redacted]"

func (redacted) String() string               { return redactedText }
func (redacted) GoString() string             { return redactedText }
func (redacted) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redactedText) }
func (redacted) LogValue() slog.Value         { return slog.StringValue(redactedText) }
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedText + `"`), nil }
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// writeRedacted serves the Format method of types that have a name to show beside their secret: the same
// text for every verb.
func writeRedacted(f fmt.State, s fmt.Stringer) { _, _ = io.WriteString(f, s.String()) }

func redactedName(kind string, v *Verifier) string {
	if v == nil {
		return kind + "(" + redactedText + ")"
	}
	return kind + "(" + v.id + ", " + redactedText + ")"
}

func marshalRedacted(s fmt.Stringer) ([]byte, error) {
	return jsonwrite.AppendString(nil, s.String()), nil
}
