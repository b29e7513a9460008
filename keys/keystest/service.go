package keystest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/sealbus/sealbus/keys"
)

// Service is a key in a key management service that runs inside the test. It is a keys.ServiceRecipient and a
// keys.ServiceIdentity. It encrypts with AES-256-GCM and the source as additional data, counts its calls, and
// fails on demand.
type Service struct {
	name string
	aead cipher.AEAD

	// Fail is called before each call, with the operation as in Calls. It may wait. The call
	// fails with its error; nil = no call fails.
	Fail func(ctx context.Context, op string) error

	mu    sync.Mutex
	calls map[string]int64 // by operation
}

var (
	_ keys.ServiceRecipient = (*Service)(nil)
	_ keys.ServiceIdentity  = (*Service)(nil)
)

// NewService makes a key of that name, which is its KeyID.
func NewService(name string) *Service {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err) // the size is right
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &Service{name: name, aead: aead, calls: map[string]int64{}}
}

// Calls is how often the operation was called so far, with the calls that failed: "test:GenerateKey",
// "test:EncryptKey" or "test:DecryptKey".
func (s *Service) Calls(op string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// KeyID is the key's name.
func (s *Service) KeyID() string { return s.name }

// Takes is true of the key's own name.
func (s *Service) Takes(keyID string) bool { return keyID == s.name }

// GenerateKey makes 32 random bytes.
func (s *Service) GenerateKey(ctx context.Context, source string) (key, encrypted []byte, err error) {
	if err := s.call(ctx, "test:GenerateKey"); err != nil {
		return nil, nil, err
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	return key, s.aead.Seal(nil, nil, key, []byte(source)), nil
}

// EncryptKey encrypts key.
func (s *Service) EncryptKey(ctx context.Context, source string, key []byte) ([]byte, error) {
	if err := s.call(ctx, "test:EncryptKey"); err != nil {
		return nil, err
	}
	return s.aead.Seal(nil, nil, key, []byte(source)), nil
}

// DecryptKey decrypts a key that GenerateKey or EncryptKey made for that source. Any other is a permanent
// error.
func (s *Service) DecryptKey(ctx context.Context, source, _ string, encrypted []byte) ([]byte, error) {
	if err := s.call(ctx, "test:DecryptKey"); err != nil {
		return nil, err
	}
	key, err := s.aead.Open(nil, nil, encrypted, []byte(source))
	if err != nil {
		return nil, &keys.ServiceError{Op: "test:DecryptKey", KeyID: s.name, Permanent: true,
			Cause: "not made for this source", Err: errors.New("invalid ciphertext")}
	}
	return key, nil
}

func (s *Service) call(ctx context.Context, op string) error {
	s.mu.Lock()
	s.calls[op]++
	s.mu.Unlock()
	if s.Fail != nil {
		return s.Fail(ctx, op)
	}
	return ctx.Err()
}
