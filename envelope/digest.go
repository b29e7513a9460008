package envelope

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/sealbus/sealbus/internal/wire"
)

type digest = wire.Digest

// absent is H(""): how the standard hashes what is not there. The two others are in nearly every event.
var (
	absent      = sha256.Sum256(nil)
	specVersion = sha256.Sum256([]byte("1.0"))
	jsonType    = sha256.Sum256([]byte("application/json"))
)

// hasher computes digests of digests: H( H(a) H(b) ... ).
type hasher struct {
	digests []byte
	room    [9 * sha256.Size]byte // the core digest fits
	scratch [256]byte
}

func (h *hasher) reset() { h.digests = h.room[:0] }

// text adds H(s), without an allocation for short ones.
func (h *hasher) text(s string) {
	switch s {
	case "1.0":
		h.digests = append(h.digests, specVersion[:]...)
	case "application/json":
		h.digests = append(h.digests, jsonType[:]...)
	default:
		h.bytes(append(h.scratch[:0], s...))
	}
}

func (h *hasher) bytes(b []byte) {
	if len(b) == 0 {
		h.digests = append(h.digests, absent[:]...)
		return
	}
	sum := sha256.Sum256(b)
	h.digests = append(h.digests, sum[:]...)
}

func (h *hasher) sum() digest { return sha256.Sum256(h.digests) }

// coreDigest is the standard's digest of the core attributes and the data; seconds is the attribute time as
// it is hashed, empty if absent.
func (h *hasher) coreDigest(e *wire.Event, seconds []byte, data *digest) digest {
	h.reset()
	for _, s := range [...]string{e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject} {
		h.text(s)
	}
	h.bytes(seconds)
	h.digests = append(h.digests, data[:]...)
	return h.sum()
}

func equalDigest(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

func sum256(b []byte) digest { return sha256.Sum256(b) }
