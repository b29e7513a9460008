package consumer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// MinQuarantineKey is the shortest key that records are authenticated with, in bytes: as long as the MAC.
const MinQuarantineKey = sha256.Size

// maxQuarantineKeys bounds the keys, as each is tried on a record of up to MaxRecord bytes.
const maxQuarantineKeys = 16

// QuarantineKeys is the name of a quarantine and the keys that authenticate its records: at most 16, those of
// other quarantines included. A store is made with it, and the consumer takes it from the store, so that name
// and key are written in one place. The zero value has no keys: it writes no record, and takes none for
// authentic.
//
// It is immutable and is passed by value. However it is printed, logged or marshalled, it shows its name and
// no key.
type QuarantineKeys struct{ ring *quarantineRing }

// quarantineRing is behind a pointer: of an unexported field, where no method is called, fmt prints an address.
type quarantineRing struct {
	name string // "" = it reads the records of any quarantine, and writes none
	keys []quarantineKey
}

// quarantineKey is a key in a function, which no format verb and no encoder prints.
type quarantineKey struct {
	quarantine string                       // whose records it authenticates; "" = any quarantine's
	mac        func(parts ...string) []byte // of these parts
}

// NewQuarantineKeys is the quarantine of that name. Its records are written under key. A record under one of
// the older keys is still authentic. Each key has at least MinQuarantineKey bytes, is copied, and serves
// nothing else: a holder of the key of two quarantines can make records of both. `sealbus quarantine key new`
// makes one.
func NewQuarantineKeys(name string, key []byte, older ...[]byte) (QuarantineKeys, error) {
	switch {
	case name == "":
		return QuarantineKeys{}, errors.New("consumer: a quarantine needs a name")
	case !exact(name):
		return QuarantineKeys{}, fmt.Errorf("consumer: the quarantine's name %q is no text, "+
			"and would not be the same in a record", name)
	}
	return newQuarantineRing(name, append([][]byte{key}, older...))
}

// AnyQuarantine is for operators, who look at records without knowing the name of the quarantine: the key
// authenticates those of any quarantine. It writes no records, and a consumer refuses it.
func AnyQuarantine(key []byte) (QuarantineKeys, error) { return newQuarantineRing("", [][]byte{key}) }

func newQuarantineRing(name string, secrets [][]byte) (QuarantineKeys, error) {
	ring := &quarantineRing{name: name}
	for _, secret := range secrets {
		if len(secret) < MinQuarantineKey {
			return QuarantineKeys{}, fmt.Errorf("consumer: a quarantine key of %d bytes, "+
				"at least %d are needed (`sealbus quarantine key new` makes one)", len(secret), MinQuarantineKey)
		}
		ring.keys = append(ring.keys, quarantineKey{name, hmacUnder(slices.Clone(secret))})
	}
	return ring.checked()
}

// Also is k with the keys of other quarantines. Records are written as those of k. A record of one of the
// others is authentic, too, and its event counts as reopened from that one: a record under the key of one
// quarantine never passes for a record of another.
func (k QuarantineKeys) Also(others ...QuarantineKeys) (QuarantineKeys, error) {
	if k.Name() == "" {
		return QuarantineKeys{}, errors.New("consumer: QuarantineKeys without a name take no others")
	}
	ring := &quarantineRing{name: k.ring.name, keys: slices.Clone(k.ring.keys)}
	for i, other := range others {
		if other.Name() == "" {
			return QuarantineKeys{}, fmt.Errorf(
				"consumer: number %d of the other QuarantineKeys has no name", i+1)
		}
		ring.keys = append(ring.keys, other.ring.keys...)
	}
	return ring.checked()
}

// checked is the ring as QuarantineKeys, unless it has too many keys, or one key twice.
func (r *quarantineRing) checked() (QuarantineKeys, error) {
	if len(r.keys) > maxQuarantineKeys {
		return QuarantineKeys{}, fmt.Errorf(
			"consumer: %d quarantine keys, at most %d", len(r.keys), maxQuarantineKeys)
	}
	for i, key := range r.keys {
		for _, other := range r.keys[:i] {
			// HMAC pads a key with zeros, and hashes a long one: different bytes may be one key.
			if hmac.Equal(key.mac(), other.mac()) {
				return QuarantineKeys{}, fmt.Errorf("consumer: one key twice, for the quarantine %q "+
					"and for %q: each quarantine needs keys of its own", other.quarantine, key.quarantine)
			}
		}
	}
	return QuarantineKeys{r}, nil
}

// hmacUnder is HMAC-SHA-256 under the secret, of parts that are each preceded by their length.
func hmacUnder(secret []byte) func(parts ...string) []byte {
	return func(parts ...string) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(p)))
			h.Write(n[:])
			io.WriteString(h, p)
		}
		return h.Sum(nil)
	}
}

// Name is the quarantine's name; "" for AnyQuarantine and the zero value.
func (k QuarantineKeys) Name() string {
	if k.ring == nil {
		return ""
	}
	return k.ring.name
}

// IsZero reports whether there are no keys.
func (k QuarantineKeys) IsZero() bool { return k.ring == nil }

// has reports whether records of that quarantine can be authentic.
func (k QuarantineKeys) has(quarantine string) bool {
	return k.ring != nil && slices.ContainsFunc(k.ring.keys, func(key quarantineKey) bool {
		return key.quarantine == quarantine
	})
}

// String is the name, without any key.
func (k QuarantineKeys) String() string {
	switch {
	case k.ring == nil:
		return "QuarantineKeys()"
	case k.ring.name == "":
		return "QuarantineKeys(any)"
	}
	return fmt.Sprintf("QuarantineKeys(%q)", k.ring.name)
}

// GoString is String.
func (k QuarantineKeys) GoString() string { return k.String() }

// Format is String, whatever the verb.
func (k QuarantineKeys) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is String.
func (k QuarantineKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k QuarantineKeys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
