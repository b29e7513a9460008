package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wire"
)

// Format is what the body of a message is.
type Format int

// The formats.
const (
	CloudEvent  Format = iota // a sealed event in the CloudEvents JSON format (structured mode)
	EventBridge               // an EventBridge event whose detail is a sealed event, in either envelope.Layout

	// QuarantineRecord is a record of QuarantineKeys.Marshal, which an operator reopens: what was refused because a
	// key or a source was not in the policy yet, a type did not fit, a delivery was late.
	//
	// The record must be authentic under a key of Options.Quarantine, and of this consumer. The message in it is
	// then judged as it was delivered, by what is true now. No check is skipped, but the window under a
	// Permission. The account and the replay name of the message that carries the record do not count. If the
	// event is refused again, the quarantine gets the message as it was delivered at first, not the record.
	//
	// A record that is not authentic never passes. It is malformed, too_large, or bad_signature if only the MAC is
	// wrong. One of another consumer or quarantine is audience_mismatch. One that holds a record in turn is
	// malformed: deliver that one itself. All of these go to the quarantine as they are. If the Quarantine has no
	// keys, every record is bad_signature: anybody can write what looks like one, and it must not hold up those
	// behind it. It is in quarantine, as it is, until the Quarantine has its keys.
	QuarantineRecord

	// Wrapped is a message around which an AWS service put a Wrapper. The event in it is judged as it would
	// be without the wrapper. One wrapper is taken off, and only around the whole message. The account and
	// the replay name in it, and for UnsafeMigration source and detail-type, count only if Options.Wrapper
	// names the wrapper, because a publisher can make the detail of an event look like one. Otherwise only
	// Message.Account counts. A wrapper that holds no event, or more than one, is malformed. The quarantine
	// gets the message as it was delivered.
	Wrapped
)

// formats are the names of the formats, in records too.
var formats = [...]string{CloudEvent: "cloudevent", EventBridge: "eventbridge",
	QuarantineRecord: "quarantinerecord", Wrapped: "wrapped"}

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
	// ReplayName is the EventBridge archive replay that EventBridge, not the sender, says this delivery
	// belongs to; "" = none. Set it only where no one but the service can write it: a Permission is given to
	// this name.
	ReplayName string
}

// Delivery is a verified event, with its data as a T. Printed or logged, it says which event it is and shows
// none of its data. Marshalled as JSON, it has the data, decrypted. A handler may change its Delivery: the
// Result stays.
type Delivery[T any] struct {
	*envelope.Opened // the event, and what was verified of it
	Data             T
	// IdempotencyKey is the same for every delivery of this event to this consumer. A handler that makes its
	// effect conditional on it has the effect once, even if the process dies between effect and completion.
	//
	// It is the same under a permission, too. An archive replay calls the handler again, once per permission,
	// for events that were handled before. An effect that is bound to the key does not happen a second time.
	// To repeat the effect, as after a mistake in the handler, bind it to IdempotencyKey and Permission.
	IdempotencyKey string
	// Permission is the ID of the Permission that covers the event, also if it is fresh; "" = none does.
	Permission string
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
		d := Delivery[T]{Opened: raw.Opened, IdempotencyKey: raw.IdempotencyKey, Permission: raw.Permission}
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
