package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// SQSResponse is the partial batch response: the messages that are to be delivered again. Lambda deletes the
// others.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
type SQSResponse struct {
	BatchItemFailures []SQSItemFailure `json:"batchItemFailures"`
}

// SQSItemFailure names one message.
type SQSItemFailure struct {
	ItemIdentifier string `json:"itemIdentifier"` // its messageId, never empty
}

// SQS is the function behind an SQS queue, standard or FIFO. The body of a message is what Options.Format
// says.
//
// The event source mapping must have ReportBatchItemFailures in its FunctionResponseTypes. The function
// cannot check that. Without it, Lambda ignores the response, takes the invocation for a success and deletes
// all messages, also those that failed. So if all messages failed, the invocation fails. With
// ReportBatchItemFailures, the effect is the same. Without it, Lambda would delete the messages.
// Options.FailWholeBatch is for mappings that cannot have it. Failed messages come again after the queue's
// visibility timeout, and go to its dead-letter queue after maxReceiveCount. SQS counts how often a message
// was received. So a message that was not begun, because the time was up or a message before it in its group
// failed, counts, too.
//
// Options.Parallel messages of a standard queue are handled at a time, in no order. (Its message groups are
// for fair queues, and order nothing.) Messages of a FIFO queue are handled in order within their group.
// After the first that is to be delivered again, the rest of its group is not begun and is delivered again,
// too, while other groups go on. A message that can never pass does not hold up its group once it is in
// quarantine. A message that another worker is handling (in_progress) does.
//
// If a batch has several copies of an event, one copy is handled at a time. The other copies wait, with the
// messages after them in their groups, and other messages are begun meanwhile. When the first copy has been
// handled, they are duplicates. If it failed, or the time is nearly up, they are delivered again, too
// (in_progress).
//
// If the payload is no batch of SQS messages, nothing is begun and the invocation fails. The handler is a
// consumer.Handler, or takes the data as a T as with consumer.Typed. opts may be nil.
func SQS[T any](c *consumer.Consumer, handle func(ctx context.Context, d consumer.Delivery[T]) error,
	opts *Options) func(context.Context, json.RawMessage) (SQSResponse, error) {
	return newAdapter(c, handle, opts).sqs
}

func (a *adapter) sqs(ctx context.Context, payload json.RawMessage) (SQSResponse, error) {
	if a.err != nil {
		return SQSResponse{}, a.err
	}
	records, err := readBatch(payload)
	if err != nil {
		return SQSResponse{},
			fmt.Errorf("awslambda: not a batch of SQS messages, nothing of it was begun: %w", err)
	}
	defer a.flush(ctx)
	run, cancel := a.within(ctx)
	defer cancel()
	b := &batch{adapter: a, invocation: run, records: records}
	b.run()
	b.hold(ctx)
	b.logNotBegun()
	b.logNoQuarantine()
	return b.response()
}

// batch is one batch on its way.
type batch struct {
	*adapter
	*invocation
	records []record
	parking
}

// record is one message. It counts as failed until the consumer has handled it, however its handling ends.
type record struct {
	id      string
	group   string
	ordered bool   // it came from a FIFO queue
	body    []byte // its text
	quoted  []byte // as it stands in the payload
	isText  bool   // quoted is a string of strict JSON
	receipt []byte // as it stands in the payload: the receipt handle
	first   []byte // as it stands in the payload: when it was received first; nil = it is not there
	// as it stands in the payload: how often it was received, this time included; nil = it is not there
	receives []byte
	done     bool  // to be deleted
	err      error // why not; nil = it was not begun
	place
}

// run handles the units in parallel. Within a unit, what comes after a failure is not begun.
func (b *batch) run() {
	b.ready = b.units()
	b.inHand = make(map[[32]byte][][]*record)
	b.mu.Lock()
	b.staff()
	b.mu.Unlock()
	b.workers.Wait()
	b.refuseParked()
}

// units are the messages that wait for each other: of a FIFO queue each group, of a standard queue each
// message alone.
//
// AWS advises a function to stop at the first failure in a batch of a FIFO queue. But order is promised
// within a group only, so only that group has to wait.
func (b *batch) units() [][]*record {
	units := make([][]*record, 0, len(b.records))
	groups := map[string]int{} // index of its unit
	for i := range b.records {
		r := &b.records[i]
		if unit, known := groups[r.group]; r.ordered && known {
			units[unit] = append(units[unit], r)
			continue
		}
		if r.ordered {
			groups[r.group] = len(units)
		}
		units = append(units, []*record{r})
	}
	return units
}

func (b *batch) handle(r *record) error {
	if !r.isText {
		_, err := jsontext.AppendUnquote(nil, r.quoted)
		b.opts.Logger.WarnContext(b.Context,
			"sealbus: a message has no body that can be read, and is to be delivered again",
			"consumer", b.consumer.Name(), "message", r.id, "error", err)
		return fmt.Errorf("awslambda: the body of message %.100q: %w", r.id, err)
	}
	msg, _ := b.message(r.body)
	if number(r.receives) > 1 {
		msg.FirstReceived = r.firstReceived()
	}
	return b.deliver(r, msg)
}

// deliver calls Handle, and makes a panic the error of this message alone. Handle lets no panic of a handler
// through. A panic of the replay store, of the trust or of this module would end the process, and the whole
// batch would be delivered again, to the same end.
func (b *batch) deliver(r *record, msg consumer.Message) (err error) {
	returned := false
	defer func() {
		if v := recover(); !returned {
			err = &consumer.PanicError{Value: v, Stack: debug.Stack()}
			b.opts.Logger.ErrorContext(b.Context,
				"sealbus: the handling of a message did not return, and it is to be delivered again",
				"consumer", b.consumer.Name(), "message", r.id, "error", err)
		}
	}()
	_, err = b.consumer.Handle(b.messageContext(r), msg, b.handler)
	returned = true
	return err
}

// logNotBegun is the only report of these messages: the consumer never saw them.
func (b *batch) logNotBegun() {
	n := 0
	for i := range b.records {
		if r := &b.records[i]; !r.done && r.err == nil {
			n++
		}
	}
	if n > 0 {
		b.opts.Logger.WarnContext(b.Context,
			"sealbus: messages were not begun, and are to be delivered again",
			"consumer", b.consumer.Name(), "messages", n, "batch", len(b.records), "error", b.whyNotBegun())
	}
}

// whyNotBegun is why messages were not begun. It stays the same to the end of the invocation.
func (b *batch) whyNotBegun() error {
	if err := b.over(); err != nil {
		return err
	}
	return errBehind
}

var errBehind = errors.New("awslambda: a message before it failed, and they have an order")

// response names the messages that are to be delivered again. If that is all of them, the invocation fails.
func (b *batch) response() (SQSResponse, error) {
	failures := []SQSItemFailure{}
	var first error
	for i := range b.records {
		r := &b.records[i]
		if r.done {
			continue
		}
		if len(failures) == 0 {
			first = r.err
		}
		failures = append(failures, SQSItemFailure{r.id})
	}
	if len(failures) == 0 || len(failures) < len(b.records) && !b.opts.FailWholeBatch {
		return SQSResponse{failures}, nil
	}
	if first == nil {
		first = b.whyNotBegun()
	}
	return SQSResponse{},
		fmt.Errorf("awslambda: %d of %d messages are to be delivered again, the first because: %w",
			len(failures), len(b.records), first)
}
