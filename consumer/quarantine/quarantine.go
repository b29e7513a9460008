// Package quarantine keeps the events that a consumer refused for good. Operators can look at them and
// reopen them.
//
// A Store is a consumer.Quarantine whose records can be read. Each record is authenticated by HMAC-SHA-256
// under a key that consumers and operators share, so an attacker cannot add a record. NewDir keeps records
// in a directory, package quarantine/s3 in a bucket, package quarantine/sqs in a queue.
//
// Threats: an attacker who can write where the records are, but has no key. A record that such an attacker
// writes or changes is listed as not authentic, and is never handed out. It can be removed by its ID, or by
// hand if its name is not one that a record can have. The names of records hold nothing that an attacker can
// choose. Not stopped: the attacker deletes records, or puts back one that was removed. A consumer takes
// that one for the same event once more. A holder of the key can make records. The event in a record is not
// verified: it was refused.
//
//	keys, err := consumer.NewQuarantineKeys("billing", key)
//	store, err := quarantine.NewDir("/var/lib/billing/quarantine", keys)  // or s3.New, sqs.New
//	c, err := consumer.New("billing", trust, claims, policy, &consumer.Options{Quarantine: store})
//
//	for e, err := range store.List(ctx, nil) {  // the operator's side
//		...                                 // e.Record is nil if it is not authentic
//	}
//
// `sealbus quarantine reopen` sends records back to the consumer's queue. A program hands over the Document:
//
//	msg := consumer.Message{Body: e.Document, Format: consumer.QuarantineRecord}
//	result, err := c.Handle(ctx, msg, handler)
//
// Each quarantine has keys of its own. A record names its consumer and its quarantine: a consumer reopens no
// record of another consumer, and none that names another quarantine than its key is of.
//
// Stable: Store, Entry, Encode, Decode, NewDir and the form of an ID. Package quarantinetest has the
// contract of a Store, as tests.
package quarantine

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sealbus/sealbus/consumer"
)

// Store is a quarantine that can be read again. It is safe for concurrent use, also by several processes.
type Store interface {
	// Put stores a record. When it returns nil, the record is safe. The consumer takes every error for a
	// transient one: the delivery is retried, until the transport's own dead-letter queue takes it.
	consumer.Quarantine

	// The operator uses the methods below.

	// List goes through the records that were in the store when it was called. Records that came or went
	// since may be in it, too. It holds one record at a time, and a page of names. An error ends it. A fault
	// of a single record is its Entry's Err, and does not end it.
	List(ctx context.Context, opts *ListOptions) iter.Seq2[Entry, error]
	// Get is the authentic record of this ID. The error wraps ErrNotFound, or consumer.ErrNotAuthentic.
	Get(ctx context.Context, id string) (Entry, error)
	// Remove removes the document of this ID, authentic or not. If there is none, the error wraps
	// ErrNotFound, or is nil where the store cannot tell. A name of a file or object that no record can have
	// is ErrNotFound, and nothing is deleted.
	Remove(ctx context.Context, id string) error
}

// ErrNotFound means that the store has no record of that ID.
var ErrNotFound = errors.New("quarantine: there is no such record")

// ErrTooLarge means that a record is larger than consumer.MaxRecord, or than the store can hold.
var ErrTooLarge = errors.New("quarantine: the record is too large")

// ListOptions narrow a list. The zero value lists everything.
type ListOptions struct {
	From time.Time // of consumer.Record.At: not before; zero = from the first
	To   time.Time // of consumer.Record.At: before; zero = to the last
}

// has reports whether a record of time t is wanted.
func (o *ListOptions) has(t time.Time) bool {
	return o == nil || !t.Before(o.From) && (o.To.IsZero() || t.Before(o.To))
}

// Has reports whether the entry is wanted. An entry that is not authentic is wanted, because the operator
// must hear of it, unless the time in its ID is outside of the range. Has is for implementations of Store.
func (o *ListOptions) Has(e Entry) bool {
	if e.Record != nil {
		return o.has(e.Record.At)
	}
	t, ok := TimeOf(e.ID)
	return !ok || o.has(t)
}

// Entry is what a Store has under one ID.
type Entry struct {
	// ID is for Get and Remove. The ID of an authentic record is made of time and hash only; any other may
	// be text that an attacker chose.
	ID string
	// Record is the record; nil unless it is authentic. The event in it is unverified all the same.
	Record *consumer.Record
	// Document is the authenticated record as it is stored (consumer.QuarantineKeys), which a consumer
	// reopens as consumer.QuarantineRecord; nil unless it is authentic.
	Document []byte
	// Err is why there is no Record: it wraps consumer.ErrNotAuthentic or ErrTooLarge, or says why the
	// record could not be read.
	Err error
}
