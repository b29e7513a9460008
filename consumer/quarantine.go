package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// Quarantine takes events that can never pass, for people to look at and perhaps to reopen. Package
// quarantine has some, and helps to make others.
type Quarantine interface {
	// Put stores a record. When it returns nil the record must be safe: the delivery is then acknowledged. A
	// panic of Put is its error, *PanicError.
	Put(ctx context.Context, r Record) error
	// Keys are the quarantine's name, and the keys of the records that this consumer reopens. They never change.
	// A message of the format QuarantineRecord is authentic under one of them, or is refused. The zero value:
	// the quarantine has no name, and no record is reopened. A quarantine that puts each record into two stores
	// of different names sets Record.Quarantine to the name of each: a store refuses records of another.
	Keys() QuarantineKeys
}

// QuarantineFunc is a function as a Quarantine without keys.
type QuarantineFunc func(ctx context.Context, r Record) error

var _ Quarantine = QuarantineFunc(nil)

// Put calls f.
func (f QuarantineFunc) Put(ctx context.Context, r Record) error { return f(ctx, r) }

// Keys are the zero value.
func (QuarantineFunc) Keys() QuarantineKeys { return QuarantineKeys{} }

// Record is one event in quarantine: the delivery with its original bytes, and the verdict. An event that was
// reopened and is refused again has a record of the message as it was delivered at first.
type Record struct {
	Consumer   string // who refused it
	Quarantine string // the name of the quarantine that it was given to (Quarantine.Keys); "" = it had none
	At         time.Time
	Reason     envelope.Reason
	Cause      string // one line
	Message    Message

	// The event's claims: unverified, possibly empty.
	UnverifiedID, UnverifiedSource, UnverifiedType string
}

// QuarantineError is the error of a delivery that can never pass and could not be put into quarantine. It is
// no outage: the event is rejected. The delivery is retried, so that the event is not lost, until the
// quarantine works or the transport's own dead-letter queue takes it.
type QuarantineError struct {
	Verdict *envelope.Error
	Err     error // why it is not in quarantine
}

// Error says both, and what to set if there is no quarantine.
func (e *QuarantineError) Error() string {
	if e.noQuarantine() {
		return fmt.Sprintf("consumer: a rejected event, which is delivered again only because "+
			"there is no quarantine to take it (set Options.Quarantine): %v", e.Verdict)
	}
	return fmt.Sprintf("consumer: a rejected event, which is delivered again because "+
		"the quarantine did not take it (%s): %v", clip(textOf(e.Err)), e.Verdict)
}

// noQuarantine looks at no error within: methods of a handler's error may panic.
func (e *QuarantineError) noQuarantine() bool { return e.Err == ErrNoQuarantine }

// Unwrap is the verdict and the quarantine's error.
func (e *QuarantineError) Unwrap() []error { return []error{e.Verdict, e.Err} }

// ErrNoQuarantine is in a *QuarantineError when the consumer has none.
var ErrNoQuarantine = errors.New("consumer: it has no quarantine")

func (d *handling) quarantine(ctx context.Context, verdict *envelope.Error) error {
	err := ErrNoQuarantine
	if d.opts.Quarantine != nil {
		cause := verdict.Cause
		if cause == "" {
			cause = verdict.Reason.Cause()
		}
		msg := d.msg
		msg.Body = bytes.Clone(msg.Body)
		r := Record{
			Consumer: d.name, Quarantine: d.quarantineKeys.Name(), At: d.now().UTC(),
			Reason: verdict.Reason, Cause: cause, Message: msg,
			UnverifiedID: verdict.UnverifiedID, UnverifiedSource: verdict.UnverifiedSource,
			UnverifiedType: verdict.UnverifiedType,
		}
		err = protect(func() error { return d.opts.Quarantine.Put(ctx, r) })
	}
	if err != nil {
		d.result.Outcome = Retry
		return &QuarantineError{Verdict: verdict, Err: err}
	}
	d.result.Outcome = Quarantined
	return nil
}
