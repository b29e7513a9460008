package mint

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"

	"github.com/sealbus/sealbus/keys"
)

// Service is a key in a key management service that answers what it was told to, for vectors.
type Service struct {
	ID string `json:"key_id"`
	// Answers maps each encrypted key (base64url) to the content keys (base64url) that the service answers,
	// one call after the other. The last one is for all further calls. A null is no answer. The service did
	// not encrypt a key that is missing here.
	Answers map[string][]*string `json:"answers"`

	mu    sync.Mutex
	calls map[string]int
}

var _ keys.ServiceIdentity = (*Service)(nil)

// KeyID is the name of the key.
func (s *Service) KeyID() string { return s.ID }

// Takes is true of the key's own name.
func (s *Service) Takes(keyID string) bool { return keyID == s.ID }

// DecryptKey gives the answer whose turn it is.
func (s *Service) DecryptKey(_ context.Context, _, _ string, encrypted []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := url(string(encrypted))
	answers := s.Answers[name]
	if len(answers) == 0 {
		return nil, &keys.ServiceError{
			Op: "mint:Decrypt", KeyID: s.ID, Permanent: true, Cause: "it was not encrypted here",
		}
	}
	if s.calls == nil {
		s.calls = make(map[string]int)
	}
	answer := answers[min(s.calls[name], len(answers)-1)]
	s.calls[name]++
	if answer == nil {
		return nil, &keys.ServiceError{Op: "mint:Decrypt", KeyID: s.ID, Cause: "no answer"}
	}
	key, err := base64.RawURLEncoding.DecodeString(*answer)
	if err != nil {
		return nil, fmt.Errorf("mint: an answer that is not base64url: %w", err)
	}
	return key, nil
}

// Elsewhere is an identity whose private key counts as one that lives in a service.
type Elsewhere struct{ keys.Identity }
