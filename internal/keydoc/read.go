package keydoc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// ErrNotCanonical is the error of a document that is not in canonical form.
var ErrNotCanonical = errors.New("not in canonical form: white space, order of members or keys, spelling of strings, or a member that says nothing")

// ReadStrings reads an array of at most most strings; it is never nil.
func ReadStrings(r *jsontext.Decoder, most int) []string {
	list := []string{}
	for a := r.Array(); r.Element(&a); {
		if len(list) == most {
			r.Failf("an array of more than %d strings", most)
			return nil
		}
		list = append(list, r.String())
	}
	return list
}

// ReadRaws reads an array of at most most values.
func ReadRaws(r *jsontext.Decoder, most int) [][]byte {
	var list [][]byte
	for a := r.Array(); r.Element(&a); {
		if len(list) == most {
			r.Failf("an array of more than %d entries", most)
			return nil
		}
		list = append(list, r.ReadValue())
	}
	return list
}

// ReadTime reads a moment as Object.Time writes it.
func ReadTime(r *jsontext.Decoder) time.Time {
	var t time.Time
	var room [len(TimeFormat) + 8]byte
	text := r.Bytes()
	// A text of RFC 3339 that is written the same again, in UTC, is in our format.
	if t.UnmarshalText(text) != nil || t.IsZero() ||
		string(t.UTC().AppendFormat(room[:0], time.RFC3339)) != string(text) {
		// The text is not quoted, because private files have times, too.
		r.Failf("a time like 2026-01-31T00:00:00Z was expected")
		return time.Time{}
	}
	return t
}

// WholeSecond is t as Object.Time writes it.
func WholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Clip shortens untrusted text for an error.
func Clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// Printable reports whether s has no control character and is UTF-8.
func Printable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' })
}

// NoRepetition refuses a list that has a text twice.
func NoRepetition(what string, list []string) error {
	if len(list) < 2 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(list))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return fmt.Errorf("%s %q stands twice", what, Clip(sorted[i]))
		}
	}
	return nil
}

// IsThumbprint reports whether s is the SHA-256 thumbprint of a key (RFC 7638), in base64url.
func IsThumbprint(s string) bool {
	b, err := jsontext.Base64URL.AppendDecode(nil, []byte(s))
	return err == nil && len(b) == sha256.Size
}
