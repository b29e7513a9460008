package jwe

import (
	"errors"
	"testing"
)

// A field holds one JSON value: more, or a part of one, would say something about what stands around it.
func TestFieldIsOneValue(t *testing.T) {
	key, context := NewContentKey(), []byte("context")
	aead, err := key.cipher()
	if err != nil {
		t.Fatal(err)
	}
	for value, good := range map[string]bool{
		`1`: true, `{"a":1}`: true, `"x"`: true, `null`: true,
		`1,"approved":true`: false, `{"a":1},"number":"4111","z":{}`: false, `1 2`: false, `{"a":1`: false, `"`: false, `{"a":1,"a":2}`: false, `x`: false, `1]`: false,
	} {
		if _, err := EncryptCompact(key, []byte(value), context); good != (err == nil) || !good && !errors.Is(err, ErrMalformed) {
			t.Errorf("encrypting %s: %v", value, err)
		}
		text := base64url.AppendEncode(nil, compactHeader(key, context)) // as a careless writer has it
		message, err := appendCompact(text, aead.Seal(nil, nil, pad([]byte(value)), text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCompact(message)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decrypt(key, context)
		if good && string(got) != value || !good && (got != nil || !errors.Is(err, ErrPlaintext)) {
			t.Errorf("decrypting %s: %q, %v", value, got, err)
		}
	}
}
