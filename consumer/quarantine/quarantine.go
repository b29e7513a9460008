// Package quarantine keeps what a consumer refused for good, where people can look at it and reopen it.
//
// A Store is a consumer.Quarantine that can be read again. Each record is authenticated by HMAC-SHA-256 under
// a key that consumers and operators share, so that what is reopened was refused by a consumer, not slipped
// in. Dir keeps records in a directory, package quarantine/s3 in a bucket, package quarantine/sqs in a queue.
//
// Threats: whoever can write where the records are, but has no key (what they write or change is listed as
// not authentic, and is never handed out; it can be removed by its ID, or, what lies under a name that no
// record has, by hand; names of records hold nothing that somebody else chose). Not stopped: that they delete
// records, or put back one that was removed: a consumer takes that for what it is, the same event once more.
// Whoever has the key can make records. Of the event inside nothing is verified by its being here: it was
// refused.
//
//	store, err := quarantine.NewDir("/var/lib/billing/quarantine", key)   // or s3.New, sqs.New
//	c, err := consumer.New("billing", trust, claims, policy, &consumer.Options{
//		Quarantine: store, QuarantineName: "billing",
//		Reopen:  []consumer.Reopen{{Quarantine: "billing", Key: key}},
//	})
//
//	for e, err := range store.List(ctx, nil) {                            // the operator's side
//		...                                                           // e.Record is nil if it is not authentic
//	}
//
// `sealbus quarantine reopen` sends records back to the consumer's queue. A program hands over the Document:
//
//	result, err := c.Handle(ctx, consumer.Message{Body: e.Document, Format: consumer.QuarantineRecord}, handler)
//
// Each consumer has a key of its own, or whoever can write to two quarantines can move records between them:
// a record names its consumer, and a consumer reopens none of another.
//
// Stable: Store, Entry, Codec, Dir and the form of an ID. The contract is tests in package quarantinetest.
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
	// Put stores a record. When it returns nil, the record is safe. Every error is transient in the consumer's
	// eyes: the delivery fails and is made again, until the transport's own dead-letter queue takes it.
	consumer.Quarantine
	Browser
}

// Browser is the operator's side of a Store.
type Browser interface {
	// List goes through the records that were there when it was called; it may also meet some that came, or
	// went, since. It holds one record at a time, and a page of names. An error ends it. What is wrong with a
	// single record is its Entry's Err, and does not end it.
	List(ctx context.Context, opts *ListOptions) iter.Seq2[Entry, error]
	// Get is the authentic record of this ID. The error wraps ErrNotFound, or consumer.ErrNotAuthentic.
	Get(ctx context.Context, id string) (Entry, error)
	// Remove removes what has this ID, authentic or not. If there is none the error wraps ErrNotFound, or is nil
	// where the store cannot tell. A name that no record has (files, objects) is ErrNotFound: nothing else is
	// deleted.
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

// Has reports whether the entry is wanted. What is not authentic is, unless its ID says otherwise: nobody
// else would hear of it. It is for implementations of Store.
func (o *ListOptions) Has(e Entry) bool {
	if e.Record != nil {
		return o.has(e.Record.At)
	}
	t, ok := TimeOf(e.ID)
	return !ok || o.has(t)
}

// Entry is what a Store has under one ID.
type Entry struct {
	// ID is what Get and Remove take. That of an authentic record is made of time and hash only; any
	// other may be text that somebody else chose.
	ID string
	// Record is what was refused; nil unless it is authentic. The event in it is unverified all the same.
	Record *consumer.Record
	// Document is the authenticated record as it is stored (consumer.MarshalRecord), which a consumer reopens as
	// consumer.QuarantineRecord; nil unless it is authentic.
	Document []byte
	// Err is why there is no Record: it wraps consumer.ErrNotAuthentic or ErrTooLarge, or says why it could
	// not be read.
	Err error
}
