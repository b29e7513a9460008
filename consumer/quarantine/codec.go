package quarantine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/consumer"
)

// Codec writes and reads authenticated records. It is what implementations of Store are made with, and is
// safe for concurrent use.
type Codec struct {
	key func() []byte // a function, so that no format verb prints it
}

// NewCodec makes a codec. The key has at least consumer.MinQuarantineKey bytes.
func NewCodec(key []byte) (*Codec, error) {
	if len(key) < consumer.MinQuarantineKey {
		return nil, fmt.Errorf("quarantine: a key of %d bytes, at least %d are needed (`sealbus quarantine key new` makes one)", len(key), consumer.MinQuarantineKey)
	}
	secret := bytes.Clone(key)
	return &Codec{key: func() []byte { return secret }}, nil
}

// String keeps the key out of logs.
func (c *Codec) String() string { return "quarantine.Codec" }

// Encode makes the document of a record, and the ID that it is stored under.
func (c *Codec) Encode(r consumer.Record) (id string, doc []byte, err error) {
	if doc, err = consumer.MarshalRecord(r, c.key()); err != nil {
		return "", nil, fmt.Errorf("quarantine: %w", err)
	}
	id = newID(r.At, doc)
	if _, ok := TimeOf(id); !ok {
		return "", nil, fmt.Errorf("quarantine: %v is no time to file a record under", r.At)
	}
	return id, doc, nil
}

// Decode reads a document of at most consumer.MaxRecord bytes. Its ID follows from it. The error wraps
// consumer.ErrNotAuthentic.
func (c *Codec) Decode(doc []byte) (Entry, error) {
	r, err := consumer.ParseRecord(doc, c.key())
	if err != nil {
		return Entry{}, err
	}
	return Entry{ID: newID(r.At, doc), Record: r, Document: doc}, nil
}

// DecodeAs is Decode for a store that keeps documents by ID: one that lies under the ID of another is not
// authentic. Its error is also in the Entry, which has the ID in any case.
func (c *Codec) DecodeAs(id string, doc []byte) (Entry, error) {
	e, err := c.Decode(doc)
	if err == nil && e.ID != id {
		err = fmt.Errorf("%w: it is not the one that this name was made for", consumer.ErrNotAuthentic)
	}
	if err != nil {
		return Entry{ID: id, Err: err}, err
	}
	return e, nil
}

// idTime is the time in an ID: all digits, so that IDs sort by time.
const idTime = "20060102T150405.000000000Z"

// idHash is how many bytes of the document's SHA-256 are in an ID.
const idHash = 16

// newID is also the name that consumer.QuarantineDir gives. The hash covers the MAC, and so everything.
func newID(at time.Time, doc []byte) string {
	sum := sha256.Sum256(doc)
	return TimeID(at) + "-" + hex.EncodeToString(sum[:idHash])
}

// TimeID is how the IDs of that time begin.
func TimeID(at time.Time) string { return at.UTC().Format(idTime) }

// TimeOf is the time in an ID. It is not ok unless the ID has the form of those that Codec.Encode makes:
// time, "-", 32 hexadecimal digits.
func TimeOf(id string) (at time.Time, ok bool) {
	if len(id) != len(idTime)+1+2*idHash || id[len(idTime)] != '-' {
		return time.Time{}, false
	}
	at, err := time.Parse(idTime, id[:len(idTime)])
	hash := id[len(idTime)+1:]
	sum, hashErr := hex.DecodeString(hash)
	return at, err == nil && hashErr == nil && TimeID(at) == id[:len(idTime)] && hex.EncodeToString(sum) == hash
}
