package sender

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
)

// ErrNotSealed means that a document was not sealed for this endpoint under this key, or was changed. It is
// permanent.
var ErrNotSealed = errors.New("sender: not sealed for this endpoint under this key, or changed")

const mediaSecret = "application/vnd.sealbus.webhook-secret+json"

// sealedSecret is the text that is encrypted.
type sealedSecret struct {
	ID        string    `json:"id"`
	Text      string    `json:"text"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// SealSecret encrypts a secret of an endpoint, to be kept in a database: under a key in a key management
// service (awskms.Recipient) or a LocalKey. The result is a JWE (RFC 7516, JSON) that is bound to the ID of
// the endpoint, so that the secret of one tenant cannot be put into the row of another. The service binds it
// to the ID, too: as the encryption context in AWS KMS.
func SealSecret(ctx context.Context, to keys.ServiceRecipient, endpoint string, s webhook.Secret,
) ([]byte, error) {
	if err := nilcheck.Check("sender: the key", to); err != nil {
		return nil, err
	}
	if !isVisible(endpoint, MaxEndpoint) || s.Text == "" {
		return nil, errors.New("sender: a secret is sealed with a text, and for an endpoint")
	}
	secret, encrypted, err := to.GenerateKey(ctx, boundTo(endpoint))
	defer clear(secret)
	if err != nil {
		return nil, err
	}
	key, err := jwe.ContentKeyFrom(secret)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	wrapped, err := key.Wrapped(jwe.AlgAWSKMS, to.KeyID(), encrypted)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(sealedSecret(s))
	if err != nil {
		return nil, errors.New("sender: the secret cannot be written as JSON")
	}
	defer clear(text)
	return jwe.Encrypt(key, text, mediaSecret, []byte(boundTo(endpoint)), []jwe.WrappedKey{wrapped})
}

// OpenSecret decrypts the result of SealSecret. The error is ErrNotSealed, or that of the service.
func OpenSecret(ctx context.Context, with keys.ServiceIdentity, endpoint string, sealed []byte,
) (webhook.Secret, error) {
	if err := nilcheck.Check("sender: the key", with); err != nil {
		return webhook.Secret{}, err
	}
	m, err := jwe.Parse(sealed)
	if err != nil || m.ContentType != mediaSecret || m.Check([]byte(boundTo(endpoint))) != nil {
		return webhook.Secret{}, ErrNotSealed
	}
	i := slices.IndexFunc(m.Keys, func(w jwe.WrappedKey) bool {
		return w.Alg == jwe.AlgAWSKMS && with.Takes(w.KeyID)
	})
	if i < 0 {
		return webhook.Secret{}, ErrNotSealed
	}
	secret, err := with.DecryptKey(ctx, boundTo(endpoint), m.Keys[i].KeyID, m.Keys[i].EncryptedKey)
	defer clear(secret)
	if e, ok := errors.AsType[*keys.ServiceError](err); ok && e.Permanent {
		return webhook.Secret{}, fmt.Errorf("%w: %w", ErrNotSealed, err)
	} else if err != nil {
		return webhook.Secret{}, err
	}
	key, err := jwe.ContentKeyFrom(secret)
	if err != nil {
		return webhook.Secret{}, ErrNotSealed
	}
	defer key.Zero()
	text, err := m.Decrypt(key, []byte(boundTo(endpoint)))
	defer clear(text)
	var s sealedSecret
	if err != nil || json.Unmarshal(text, &s) != nil {
		return webhook.Secret{}, ErrNotSealed
	}
	return webhook.Secret(s), nil
}

// boundTo is the source for which a service encrypts the key of a secret.
func boundTo(endpoint string) string { return "urn:sealbus:webhook-endpoint:" + endpoint }

// LocalKey is a symmetric key of 32 bytes in memory: for secrets of endpoints where there is no key
// management service, and for EncryptBodies. It prints as redacted.
type LocalKey struct {
	redact.Printed
	id     string
	secret redact.Hidden[[]byte]
}

var (
	_ keys.ServiceRecipient = (*LocalKey)(nil)
	_ keys.ServiceIdentity  = (*LocalKey)(nil)
)

const localKeySize = 32

// NewLocalKey makes a key of 32 random bytes, which it copies. The name tells it from others: give a new key
// a new name.
func NewLocalKey(name string, secret []byte) (*LocalKey, error) {
	switch {
	case !isVisible(name, MaxEndpoint):
		return nil, fmt.Errorf("sender: the name of a local key must have 1 to %d visible ASCII characters",
			MaxEndpoint)
	case len(secret) != localKeySize || !slices.ContainsFunc(secret, func(b byte) bool { return b != 0 }):
		return nil, fmt.Errorf("sender: a local key has %d random bytes", localKeySize)
	}
	own := slices.Clone(secret)
	return &LocalKey{redact.Key("sender.LocalKey", name), "local:" + name, redact.Hide(own)}, nil
}

// KeyID is "local:" and the name.
func (k *LocalKey) KeyID() string { return k.id }

// Takes reports whether it is this key.
func (k *LocalKey) Takes(keyID string) bool { return keyID == k.id }

// GenerateKey makes a content key.
func (k *LocalKey) GenerateKey(ctx context.Context, source string) (key, encrypted []byte, err error) {
	key = make([]byte, localKeySize)
	_, _ = rand.Read(key) // never fails
	encrypted, err = k.EncryptKey(ctx, source, key)
	return key, encrypted, err
}

// EncryptKey encrypts a content key.
func (k *LocalKey) EncryptKey(_ context.Context, source string, key []byte) ([]byte, error) {
	return k.seal("sealbus/v1/webhook-secret", source, key), nil
}

// DecryptKey decrypts a content key.
func (k *LocalKey) DecryptKey(_ context.Context, source, keyID string, encrypted []byte) ([]byte, error) {
	key, ok := k.open("sealbus/v1/webhook-secret", source, encrypted)
	if !ok || keyID != k.id {
		return nil, &keys.ServiceError{Op: "decrypt", KeyID: k.id, Permanent: true,
			Cause: "it was not encrypted so under this key"}
	}
	return key, nil
}

// saltSize is the part of a sealed text from which its key is derived. Each text has a key of its own, so
// that no number of texts is too large for AES-GCM, and its nonce can be zero.
const saltSize = 32

// aead is the cipher of one text. The context is bound by the derivation (HKDF, RFC 5869).
func (k *LocalKey) aead(purpose, context string, salt []byte) cipher.AEAD {
	derived, err := hkdf.Key(sha256.New, k.secret(), salt, purpose+"\x00"+context, localKeySize)
	if err != nil {
		panic("sender: HKDF: " + err.Error()) // the sizes are constant
	}
	defer clear(derived)
	block, err := aes.NewCipher(derived)
	if err != nil {
		panic("sender: AES: " + err.Error())
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic("sender: AES-GCM: " + err.Error())
	}
	return a
}

func (k *LocalKey) seal(purpose, context string, plain []byte) []byte {
	out := make([]byte, saltSize, saltSize+len(plain)+16)
	_, _ = rand.Read(out) // never fails
	a := k.aead(purpose, context, out)
	return a.Seal(out, make([]byte, a.NonceSize()), plain, nil)
}

func (k *LocalKey) open(purpose, context string, sealed []byte) ([]byte, bool) {
	if len(sealed) < saltSize {
		return nil, false
	}
	a := k.aead(purpose, context, sealed[:saltSize])
	plain, err := a.Open(nil, make([]byte, a.NonceSize()), sealed[saltSize:], nil)
	return plain, err == nil
}
