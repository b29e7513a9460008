package envelope

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/sealbus/sealbus/internal/wire"
)

type digest = wire.Digest

func equalDigest(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

func sum256(b []byte) digest { return sha256.Sum256(b) }
