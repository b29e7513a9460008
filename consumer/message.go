package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// Format is what the body of a message is.
type Format int

// The formats.
const (
	CloudEvent  Format = iota // a sealed event in the CloudEvents JSON format (structured mode)
	EventBridge               // an EventBridge event whose detail is a sealed event, in either envelope.Layout

	// QuarantineRecord is a record of QuarantineKeys.Marshal that an operator reopens: an event was refused
	// because a key or a source was not in the policy yet, a type did not fit, or a delivery was late.
	//
	// The record must be authentic under a key of Options.Quarantine, and of this consumer. The message in it
	// is then judged as it was delivered, by the trust, the policy and the clock of now. No check is skipped,
	// but a Permission may replace the window. The account and the replay name of the message that carries
	// the record do not count. If the event is refused again, the quarantine gets the message as it was
	// delivered at first, not the record.
	//
	// A record that is not authentic never passes. It is malformed, too_large, or bad_signature if only the
	// MAC is wrong. One of another consumer or quarantine is audience_mismatch. One that holds a record in
	// turn is malformed: deliver that one itself. All of these go to the quarantine as they are. If the
	// Quarantine has no keys, every record is bad_signature: an attacker can write something that looks like
	// one, and it must not hold up the messages behind it. It stays in quarantine until the Quarantine has
	// its keys.
	QuarantineRecord

	// Wrapped is a message around which an AWS service put a wrapper. The event in it is judged as it would
	// be without the wrapper. One wrapper is taken off, and only around the whole message. A publisher can
	// make the detail of an event look like a wrapper. So the account, the replay name, and for
	// UnsafeMigration the source and detail-type, count only if Options.Wrapper names the wrapper. Otherwise
	// only Message.Account counts. A wrapper that holds no event, or more than one, is malformed. The
	// quarantine gets the message as it was delivered.
	Wrapped

	// HTTP is a sealed event in the binary mode of CloudEvents, as envelope.HTTPMessage gives it.
	HTTP
)

// formats are the names of the formats, in records too.
var formats = [...]string{CloudEvent: "cloudevent", EventBridge: "eventbridge",
	QuarantineRecord: "quarantinerecord", Wrapped: "wrapped", HTTP: "http"}

// String is "cloudevent", "eventbridge", "quarantinerecord", "wrapped" or "http". An unknown format is judged
// as a CloudEvent.
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
	// FirstReceived is for a message that is delivered again: when the transport handed it out for the first
	// time, as a service says and not the sender. Zero = this is the first time, or it is unknown. A newer
	// trust bundle may accept an event that the one at hand refuses. So an event is refused for good only by
	// a bundle that was checked since this delivery began or, if it is made again, 15 seconds after the
	// first. So one check judges all messages that came before it, and forged ones do not come again and
	// again. In the future = now. Records of a quarantine do not keep it.
	FirstReceived time.Time
	// Caller is who sent the message, where the transport knows (package webhook/entry); nil = everyone may
	// send it. A verified event for which the caller may not speak is refused before it is claimed: its
	// Outcome is Retry, and the quarantine does not get it, because another caller may still bring it.
	Caller Caller
}

// Caller is who sent a message.
type Caller interface {
	// Check refuses an event for which the caller may not speak: a verified one, or one that UnsafeMigration
	// would take. The error is an *envelope.Error of the Reason source_not_allowed or type_not_allowed, which
	// does not say whether others may.
	Check(source, typ string) error
	// Validate judges the data by the schemas that are agreed with the caller, beside Options.Schemas.
	envelope.Validator
}

// The advice on a quarantine record that is refused.
const (
	adviceKey = "if an operator reopened it, give the Quarantine the key of the record (NewQuarantineKeys, " +
		"Also), and send it again; otherwise it is a forgery"
	adviceMisnamed = "find out who has the key, and wrote a record under the name of another quarantine"
	adviceConsumer = "send the record to the queue of the consumer that it names"
)

// reopen puts the message that a quarantine record holds in the place of the record. The name of the
// quarantine that it was reopened from comes from the authentic record, and from nowhere else: neither a
// sender nor a transport has a field for it.
func (d *delivery) reopen() *envelope.Error {
	if d.msg.Format != QuarantineRecord {
		return nil
	}
	rec, err := d.quarantineKeys.Parse(d.msg.Body)
	advised := func(v *envelope.Error, advice string) *envelope.Error { // that of the Reason is about an event
		v.Advice = advice
		return v
	}
	switch {
	case err == errNoKeys:
		return advised(d.because(envelope.ReasonBadSignature,
			"the consumer's Quarantine has no keys to judge a record with: if an operator reopened it, "+
				"make the Quarantine with its QuarantineKeys, and send it again", err), adviceKey)
	case err == errWrongMAC:
		return advised(d.because(envelope.ReasonBadSignature, err.Error(), err), adviceKey)
	case errors.Is(err, errMisnamed):
		return advised(d.because(envelope.ReasonAudienceMismatch, clip(err.Error()), err), adviceMisnamed)
	case err != nil && len(d.msg.Body) > MaxRecord:
		return d.because(envelope.ReasonTooLarge, clip(err.Error()), err)
	case err != nil:
		return d.because(envelope.ReasonMalformed, clip(err.Error()), err)
	case rec.Consumer != d.name:
		return advised(d.because(envelope.ReasonAudienceMismatch,
			fmt.Sprintf("a quarantine record of the consumer %.100q, this is %.100q", rec.Consumer, d.name),
			nil), adviceConsumer)
	}
	d.msg, d.reopened = rec.Message, rec.Quarantine
	if d.msg.Format == QuarantineRecord {
		return d.because(envelope.ReasonMalformed,
			"a quarantine record in a quarantine record: deliver the inner one", nil)
	}
	return nil
}

// unwrap finds the message that is judged: the delivered one, or the one in the wrapper around it. The
// quarantine gets the delivered one.
func (d *delivery) unwrap() *envelope.Error {
	d.subject = d.msg
	if d.msg.Format != Wrapped {
		return nil
	}
	d.subject = Message{Account: d.msg.Account}
	o, problem := wrapper.Open(d.msg.Body)
	switch {
	case problem != nil:
		reason := envelope.ReasonMalformed
		if problem.Large {
			reason = envelope.ReasonTooLarge
		}
		verdict := d.because(reason, problem.Cause, nil)
		verdict.Advice = problem.Fix
		return verdict
	case o == nil:
		verdict := d.because(envelope.ReasonMalformed,
			"it was said to be in a wrapper, and is in none that is known", nil)
		verdict.Advice = "deliver it as the CloudEvent or EventBridge event that it is, " +
			"or look for what changed it on its way"
		return verdict
	}
	d.subject.Body = o.Body
	if o.EventBridge {
		d.subject.Format = EventBridge
	}
	if string(o.Kind) == d.opts.Wrapper {
		d.subject.ReplayName = d.msg.ReplayName
		return nil
	}
	d.subject.Body, d.hiding = o.Anonymous(), o.Kind
	return nil
}

// explain adds to a verdict which wrapper is around the message.
func (d *delivery) explain(verdict *envelope.Error) *envelope.Error {
	switch {
	case verdict.Reason == envelope.ReasonMalformed && d.msg.Format != Wrapped:
		o, p := wrapper.Open(d.msg.Body)
		if p == nil && o == nil {
			return verdict
		}
		explained := *verdict
		if p != nil {
			explained.Cause, explained.Advice = p.Cause, p.Fix
			return &explained
		}
		explained.Cause = "this is " + o.Kind.String() + ", and no wrapper is taken here"
		explained.Advice = "have the event delivered without the wrapper, " +
			"or take wrapped ones (awslambda.FormatAuto, consumer.Wrapped)"
		return &explained
	case verdict.Reason == envelope.ReasonAccountMismatch && d.hiding != "" &&
		d.subject.Account == "" && d.subject.Format == EventBridge:
		explained := *verdict
		explained.Cause += fmt.Sprintf("; what %s says of it does not count", d.hiding)
		explained.Advice = fmt.Sprintf("the wrapper hides the account: if only AWS can write such messages here, "+
			"name it (consumer.Options.Wrapper, here %q) and deliver the message again; "+
			"or have it delivered without the wrapper", string(d.hiding))
		return &explained
	}
	return verdict
}
