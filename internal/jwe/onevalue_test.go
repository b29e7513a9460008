package jwe

import (
	"errors"
	"strings"
	"testing"
)

// A field holds one JSON value. Two values, or a part of one, would change the document around the field.
func TestFieldIsOneValue(t *testing.T) {
	key := NewContentKey()
	for value, good := range map[string]bool{
		`1`: true, `{"a":1}`: true, `"x"`: true, `null`: true,
		`1,"approved":true`: false, `{"a":1},"number":"4111","z":{}`: false, `1 2`: false, `{"a":1`: false,
		`"`: false, `{"a":1,"a":2}`: false, `x`: false, `1]`: false,
	} {
		if _, err := EncryptCompact(key, []byte(value), testContext); good != (err == nil) || !good &&
			!errors.Is(err, ErrMalformed) {
			t.Errorf("encrypting %s: %v", value, err)
		}
		padded := value + strings.Repeat(" ", (32-len(value)%32)%32)
		// A careless writer encrypts any text.
		c, err := ParseCompact([]byte(compactAgain(t, key, headerOfCompact(key), padded)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decrypt(key, testContext)
		if good && string(got) != value || !good && (got != nil || !errors.Is(err, ErrPlaintext)) {
			t.Errorf("decrypting %s: %q, %v", value, got, err)
		}
	}
}
