package consumer

import (
	"fmt"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// Wrapper is something that an AWS service puts around a message: see Wrapped.
type Wrapper string

// The wrappers that are opened.
const (
	// WrapperSNS is an SNS notification: from a subscription without raw message delivery, or to a function that
	// SNS invokes.
	WrapperSNS = Wrapper(wrapper.SNS)
	// WrapperOnFailure is the record that a function's destination gets. Its requestPayload is the event.
	WrapperOnFailure = Wrapper(wrapper.OnFailure)

	WrapperSQS        = Wrapper(wrapper.SQS)        // a record of SQS, as a pipe of EventBridge passes it on
	WrapperKinesis    = Wrapper(wrapper.Kinesis)    // a record of Kinesis
	WrapperKafka      = Wrapper(wrapper.Kafka)      // a record of Kafka, as Lambda and pipes have it
	WrapperLogs       = Wrapper(wrapper.Logs)       // a log event of CloudWatch Logs
	WrapperTextDetail = Wrapper(wrapper.TextDetail) // an EventBridge event whose detail is a string
)

func (o *Options) checkWrapper() error {
	if o.Wrapper != "" && wrapper.Kind(o.Wrapper).String() == "" {
		return fmt.Errorf("Wrapper is %q: give one of the constants, such as WrapperSNS, or \"\" for none",
			string(o.Wrapper))
	}
	return nil
}

// unpack finds the message that is judged: the delivered one, or the one in the wrapper around it. What the
// delivered one says stays in the quarantine.
func (d *handling) unpack() *envelope.Error {
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
	if Wrapper(o.Kind) == d.opts.Wrapper {
		d.subject.ReplayName = d.msg.ReplayName
		return nil
	}
	d.subject.Body, d.hiding = o.Anonymous(), o.Kind
	return nil
}

// explain adds to a verdict what the shape of the message tells about it.
func (d *handling) explain(verdict *envelope.Error) *envelope.Error {
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
