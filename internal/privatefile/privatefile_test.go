package privatefile

import (
	"bytes"
	"testing"

	"github.com/sealbus/sealbus/internal/redact"
)

const passphrase = "correct horse battery staple"

// Text that was to be encrypted does not stay in memory, encrypted or not; what is written is no part of it.
func TestPlaintextIsCleared(t *testing.T) {
	for name, p := range map[string]*Protection{
		"encrypted":     {passphrase: redact.Hide(passphrase), workFactor: 2},
		"not encrypted": {passphrase: redact.Hide("")},
	} {
		plain := []byte(`{"d":"secret"}`)
		sealed, err := p.Seal(plain)
		if err != nil || len(sealed) == 0 || bytes.Contains(sealed,
			[]byte("secret")) != (name == "not encrypted") {
			t.Errorf("%s: sealed as %q, %v", name, sealed, err)
		}
		if !bytes.Equal(plain, make([]byte, len(plain))) {
			t.Errorf("%s: %q is left", name, plain)
		}
	}
}
