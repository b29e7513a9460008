package wire

import (
	"crypto/sha256"
)

// Absent is H(""): how the standard hashes an attribute that is not there.
var Absent = sha256.Sum256(nil)

// The digests of texts that nearly every event has.
var (
	specVersion = sha256.Sum256([]byte("1.0"))
	jsonType    = sha256.Sum256([]byte("application/json"))
)

// Hasher computes digests of digests: H( H(a) H(b) ... ). Reset it before each.
type Hasher struct {
	digests []byte
	room    [9 * sha256.Size]byte // the core digest fits
	Scratch [256]byte             // room for a value while it is added
}

// Reset begins a digest of digests.
func (h *Hasher) Reset() { h.digests = h.room[:0] }

// Text adds H(s), without an allocation for short ones.
func (h *Hasher) Text(s string) {
	switch s {
	case "1.0":
		h.digests = append(h.digests, specVersion[:]...)
	case "application/json":
		h.digests = append(h.digests, jsonType[:]...)
	default:
		h.Bytes(append(h.Scratch[:0], s...))
	}
}

// Bytes adds H(b).
func (h *Hasher) Bytes(b []byte) {
	if len(b) == 0 {
		h.digests = append(h.digests, Absent[:]...)
		return
	}
	sum := sha256.Sum256(b)
	h.digests = append(h.digests, sum[:]...)
}

// Sum is the digest of the digests that were added.
func (h *Hasher) Sum() Digest { return sha256.Sum256(h.digests) }

// CoreDigest is the standard's digest of the core attributes and the data; seconds is the attribute time as
// it is hashed, empty if absent.
func (h *Hasher) CoreDigest(e *Event, seconds []byte, data *Digest) Digest {
	h.Reset()
	for _, s := range [...]string{e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject} {
		h.Text(s)
	}
	h.Bytes(seconds)
	h.digests = append(h.digests, data[:]...)
	return h.Sum()
}
