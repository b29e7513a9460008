package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
)

// Format is what the body of a message is.
type Format int

// The formats.
const (
	CloudEvent  Format = iota // a sealed event in the CloudEvents JSON format (structured mode)
	EventBridge               // an EventBridge event whose detail is a sealed event, in either envelope.Layout

	// QuarantineRecord is a record of MarshalRecord under one of the keys in Options.Reopen: see Reopen.
	QuarantineRecord

	// Wrapped is a message around which an AWS service put a Wrapper. The event in it is judged as it would be
	// without: one wrapper is taken off, and only around the whole message. The account and the replay name in
	// it, and for UnsafeObserve source and detail-type, count only if Options.Wrapper names the wrapper, as
	// anybody who can publish an event can make its detail look like one; otherwise no account is known but
	// Message.Account. A wrapper that holds no event, or more than one, is malformed. The quarantine gets the
	// message as it was delivered.
	Wrapped
)

// formats are the names of the formats, in records too.
var formats = [...]string{CloudEvent: "cloudevent", EventBridge: "eventbridge", QuarantineRecord: "quarantinerecord", Wrapped: "wrapped"}

// String is "cloudevent", "eventbridge", "quarantinerecord" or "wrapped". An unknown format is judged as a
// CloudEvent.
func (f Format) String() string {
	if f < 0 || int(f) >= len(formats) {
		f = CloudEvent
	}
	return formats[f]
}

// Message is one delivery, as the transport has it.
type Message struct {
	Body   []byte // not changed, and not kept after Handle
	Format Format // zero = CloudEvent
	// Account is the AWS account that a service, not the sender, wrote beside the body; "" = none. For
	// EventBridge it overrides the account inside the body.
	Account string
	// ReplayName is the EventBridge archive replay that EventBridge, not the sender, says this delivery belongs
	// to; "" = none. Set it only where nobody but the service can write it: it is what a Permission is given to.
	ReplayName string
}

// Delivery is a verified event, with its data as a T. Printed or logged it says which event it is, and tells
// nothing of its data; marshalled as JSON it has the data, decrypted.
type Delivery[T any] struct {
	Data       T
	Event      event.Event       // what was signed, and only that
	Verified   Verified          // what is known of it
	Unverified map[string]string // envelope.Passthrough only: the unsigned extension attributes; believe none
	// IdempotencyKey is the same for every delivery of this event to this consumer. Whoever makes the effect
	// conditional on it has the effect once, even if the process dies between effect and completion.
	//
	// It is the same under a permission, too: an archive replay has the handler called again, once per
	// permission, for events that were handled before, but an effect that is bound to the key is not had a
	// second time. A handler that is to have the effect again, as after an error of its own, must want it: it
	// binds the effect to IdempotencyKey and Permission.
	IdempotencyKey string
	// Permission is the ID of the Permission that admitted the event, whatever its age; "" = none did, it is
	// fresh.
	Permission string
}

// Verified is who sealed an event, when, and what that covers.
type Verified struct {
	Producer         string
	KeyIDs           []string  // the keys whose signatures counted, sorted
	SignedAt         time.Time // the signed moment of sealing; zero = none was signed
	ExpiresAt        time.Time // the signed end of the event's life; zero = none
	SignedAttributes []string  // names of the attributes that were verified: core, then extensions
	Foreign          bool      // sealed by another implementation of the standard

	// Ignored are the names of members that something added on the way, and that are no part of Event: see
	// envelope.Opened. nil = none.
	Ignored []string

	// Encryption says how the data was encrypted, all of it or which members; nil = it was not.
	Encryption *envelope.Encryption
}

// Handler handles one verified event, its data as signed. An error means that the event is to be delivered
// again. It must not return before its work is done: what it leaves to a goroutine may be lost. Its context
// is cancelled with that of Handle, and, with the cause replay.ErrClaimLost, when another worker has taken
// the event over. Until it returns the event stays claimed, so it should return soon then.
//
// If the event's data was encrypted, the text of the error, or of a panic, is withheld from logs, records and
// answers, because it may quote that data. SafeText is how a handler says that it does not.
type Handler func(ctx context.Context, d Delivery[[]byte]) error

// Typed is a Handler that reads JSON data into a T by encoding/json: data must be there, must be JSON and not
// null. Members that T does not have are ignored, so that a producer may add some. Data that does not fit T
// is envelope.ReasonSchemaInvalid: quarantined, since delivering it again would not help; reopen it when the
// type was at fault. The verdict says which field of T does not fit, and quotes nothing of the data. With T =
// []byte or json.RawMessage the data comes as it is.
func Typed[T any](handle func(ctx context.Context, d Delivery[T]) error) Handler {
	if handle == nil {
		return nil // Handle says that there is no handler
	}
	return func(ctx context.Context, raw Delivery[[]byte]) error {
		d := Delivery[T]{
			Event: raw.Event, Verified: raw.Verified, Unverified: raw.Unverified,
			IdempotencyKey: raw.IdempotencyKey, Permission: raw.Permission,
		}
		if err := decode(raw.Data, raw.Event.DataContentType(), &d.Data); err != nil {
			return newUnfit(err, reflect.TypeFor[T]())
		}
		return handle(ctx, d)
	}
}

func decode(data []byte, contentType string, into any) error {
	switch into := into.(type) {
	case *[]byte:
		*into = data
		return nil
	case *json.RawMessage:
		*into = data
		return nil
	}
	switch {
	case len(data) == 0:
		return plainText("there is no data")
	case !wire.IsJSON(contentType):
		return plainText(fmt.Sprintf("the data is %.100q, not JSON", contentType))
	case string(data) == "null":
		return plainText("the data is null")
	}
	return json.Unmarshal(data, into)
}

// handOver is the verified event as the handler gets it.
func handOver(o *envelope.Opened, r *Result) Delivery[[]byte] {
	return Delivery[[]byte]{
		Data: o.Event.Data(), Event: o.Event, Unverified: o.Unverified,
		IdempotencyKey: r.IdempotencyKey, Permission: r.Permission,
		Verified: Verified{
			Producer: o.Producer, KeyIDs: o.KeyIDs, SignedAt: o.SignedAt, ExpiresAt: o.ExpiresAt,
			SignedAttributes: o.SignedAttributes, Foreign: o.Foreign, Encryption: o.Encryption, Ignored: o.Ignored,
		},
	}
}
