package envelope

import (
	"sync/atomic"

	"github.com/sealbus/sealbus/internal/jwe"
)

// sharedKey is a content key in a cache. It is zeroed once the cache has dropped it and nobody uses it any
// more.
type sharedKey struct {
	key   *jwe.ContentKey
	users atomic.Int64
}

// share is key with one user: the cache that is to hold it.
func (s *sharedKey) share(key *jwe.ContentKey) {
	s.key = key
	s.users.Store(1)
}

// use makes the caller a user, until it calls done. Whoever calls it knows of another user who stays
// meanwhile.
func (s *sharedKey) use() { s.users.Add(1) }

func (s *sharedKey) done() {
	if s.users.Add(-1) == 0 && s.key != nil {
		s.key.Zero()
	}
}
