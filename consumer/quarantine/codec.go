package quarantine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/consumer"
)

// Encode makes the document of a record, and the ID that a Store keeps it under.
func Encode(keys consumer.QuarantineKeys, r consumer.Record) (id string, doc []byte, err error) {
	if doc, err = keys.Marshal(r); err != nil {
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
func Decode(keys consumer.QuarantineKeys, doc []byte) (Entry, error) {
	r, err := keys.Parse(doc)
	if err != nil {
		return Entry{}, err
	}
	return Entry{ID: newID(r.At, doc), Record: r, Document: doc}, nil
}

// DecodeAs is Decode for a Store that keeps documents by ID. A document under the ID of another one is not
// authentic. The error is also in the Entry, which has the ID in any case.
func DecodeAs(keys consumer.QuarantineKeys, id string, doc []byte) (Entry, error) {
	e, err := Decode(keys, doc)
	if err == nil && e.ID != id {
		err = fmt.Errorf("%w: its name is that of another record", consumer.ErrNotAuthentic)
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

// newID is the time and a hash of the document. The hash covers the MAC, too.
func newID(at time.Time, doc []byte) string {
	sum := sha256.Sum256(doc)
	return TimeID(at) + "-" + hex.EncodeToString(sum[:idHash])
}

// TimeID is how the IDs of that time begin.
func TimeID(at time.Time) string { return at.UTC().Format(idTime) }

// TimeOf is the time in an ID. It is not ok unless the ID has the form of those that Encode makes:
// time, "-", 32 hexadecimal digits.
func TimeOf(id string) (at time.Time, ok bool) {
	if len(id) != len(idTime)+1+2*idHash || id[len(idTime)] != '-' {
		return time.Time{}, false
	}
	at, err := time.Parse(idTime, id[:len(idTime)])
	hash := id[len(idTime)+1:]
	sum, hashErr := hex.DecodeString(hash)
	return at, err == nil && hashErr == nil &&
		TimeID(at) == id[:len(idTime)] && hex.EncodeToString(sum) == hash
}
