package envelope

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/sealbus/sealbus/internal/cejson"
)

type digest = [sha256.Size]byte

// absent is H(""): how the standard hashes what is not there.
var absent = sha256.Sum256(nil)

// hasher computes digests of digests: H( H(a) H(b) ... ).
type hasher struct {
	digests []byte
	room    [9 * sha256.Size]byte // the core digest fits
	scratch [256]byte
}

func (h *hasher) reset() { h.digests = h.room[:0] }

// text adds H(s), without an allocation for short ones.
func (h *hasher) text(s string) {
	if s == "" {
		h.digests = append(h.digests, absent[:]...)
		return
	}
	h.bytes(append(h.scratch[:0], s...))
}

func (h *hasher) bytes(b []byte) {
	sum := sha256.Sum256(b)
	h.digests = append(h.digests, sum[:]...)
}

func (h *hasher) sum() digest { return sha256.Sum256(h.digests) }

// coreDigest is the standard's digest of the core attributes and the data. e.Time must be in whole seconds, UTC.
func (h *hasher) coreDigest(e *cejson.Event, seconds string, data *digest) digest {
	h.reset()
	for _, s := range [...]string{e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject, seconds} {
		h.text(s)
	}
	h.digests = append(h.digests, data[:]...)
	return h.sum()
}

func equalDigest(a, b *digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

func sum256(b []byte) digest { return sha256.Sum256(b) }
