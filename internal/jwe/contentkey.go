package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
)

// commitmentLabel is the text that a content key authenticates to commit to itself.
const commitmentLabel = "sealbus/v1/key-commitment"

// ContentKey is the AES-256 key that data is encrypted under. It is safe for concurrent use. Its owner calls
// Zero when the key is no longer needed. It prints as redacted.
//
// Random nonces limit how much one key may encrypt. The caller counts, and stays far below the 2^32 messages
// of NIST SP 800-38D.
type ContentKey struct {
	mu         sync.RWMutex
	material   func() *material // nil when zeroed; a function, since fmt follows pointers in private fields
	commitment string
}

type material struct {
	key  [KeySize]byte
	aead cipher.AEAD // it writes its random nonce before the ciphertext, and reads it there
}

// NewContentKey makes a random key.
func NewContentKey() *ContentKey {
	secret := make([]byte, KeySize)
	defer clear(secret)
	_, _ = rand.Read(secret) // never fails: it ends the program instead
	key, err := ContentKeyFrom(secret)
	if err != nil {
		panic("jwe: the source of random numbers is broken: " + err.Error())
	}
	return key
}

// ContentKeyFrom makes a key of 32 bytes. It copies them, and the caller clears its own copy. Another size is
// ErrKey, and so are 32 zeros, the content of a cleared buffer.
func ContentKeyFrom(secret []byte) (*ContentKey, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("%w: a content key has %d bytes, not %d", ErrKey, KeySize, len(secret))
	}
	m := new(material)
	if subtle.ConstantTimeCompare(secret, m.key[:]) == 1 {
		return nil, fmt.Errorf("%w: a content key of zeros only", ErrKey)
	}
	copy(m.key[:], secret)
	block, err := aes.NewCipher(m.key[:])
	if err == nil {
		m.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil { // a wrong size is the only documented error
		panic("jwe: AES-256-GCM is not available: " + err.Error())
	}
	mac := hmac.New(sha256.New, m.key[:])
	mac.Write([]byte(commitmentLabel))
	return &ContentKey{
		material:   func() *material { return m },
		commitment: base64url.EncodeToString(mac.Sum(nil)),
	}, nil
}

// Commitment is the base64url text of HMAC-SHA-256 over a fixed label under this key. It identifies the key
// and reveals nothing of it. It stays available after Zero.
func (k *ContentKey) Commitment() string { return k.commitment }

// Bytes is a copy of the key, for a service that encrypts it. The caller clears the copy. After Zero the
// error is ErrKey.
func (k *ContentKey) Bytes() ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.material == nil {
		return nil, errZeroed
	}
	m := k.material()
	return append(make([]byte, 0, KeySize), m.key[:]...), nil
}

// Zero overwrites the key and makes it unusable. Encryption and decryption that are under way may finish. The
// expanded key within Go's AES is out of reach: it is left to the garbage collector.
func (k *ContentKey) Zero() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.material == nil {
		return
	}
	m := k.material()
	clear(m.key[:])
	m.aead, k.material = nil, nil
}

var errZeroed = fmt.Errorf("%w: it was zeroed", ErrKey)

func (k *ContentKey) cipher() (cipher.AEAD, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.material == nil {
		return nil, errZeroed
	}
	return k.material().aead, nil
}

const redacted = "ContentKey([redacted])"

// String does not tell the key.
func (k *ContentKey) String() string { return redacted }

// GoString does not tell the key.
func (k *ContentKey) GoString() string { return redacted }

// Format does not tell the key, with any verb.
func (k *ContentKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue does not tell the key.
func (k *ContentKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON does not tell the key.
func (k *ContentKey) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, redacted), nil }
