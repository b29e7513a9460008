package tinkkeys

import (
	"context"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// LocalKEK makes a key encryption key of any AEAD of Tink. The keyset of the AEAD must be protected in
// another way. A nil AEAD gives nil, which Create, Open and Read refuse.
func LocalKEK(aead tink.AEAD) tink.AEADWithContext {
	if nilcheck.Is(aead) {
		return nil
	}
	return local{aead}
}

type local struct{ aead tink.AEAD }

// EncryptWithContext encrypts.
func (l local) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.aead.Encrypt(plaintext, associatedData)
}

// DecryptWithContext decrypts.
func (l local) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.aead.Decrypt(ciphertext, associatedData)
}
