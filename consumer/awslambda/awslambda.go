// Package awslambda lets a Lambda function consume sealed events. EventBridge puts them into an SQS queue in
// front of the function, which is the topology to prefer, or invokes the function itself. Each message goes
// through consumer.Consumer.Handle. The answer to Lambda names the messages to deliver again.
//
//	lambda.Start(awslambda.SQS(c, func(ctx context.Context, d consumer.Delivery[Order]) error { ... }, nil))
//
// A message is acknowledged when it was handled, when it is a duplicate of one that was, or when it can
// never pass and the consumer's Quarantine has it. Every other message is delivered again. If the answer
// cannot name the message that failed, the whole invocation fails. Then nothing is lost, and the messages
// that were handled are recognised as duplicates.
//
// Threats: an attacker who can put a message into the queue or invoke the function (each event is verified;
// the name of a replay is not signed, and is believed only if Options say that only the service can write
// it); a message that always fails (the rest of its batch is handled); the end of the invocation's time,
// which kills the process (no message is begun too late, and no handler is left behind in a frozen process,
// where it would wake up hours later). Not stopped: an event source mapping without ReportBatchItemFailures,
// see SQS; an attacker who has a producer's key and can write to the queue. Such an attacker can also choose
// the "account" of an EventBridge event: it can be trusted only as far as the queue's policy.
//
// The package does not import the Lambda runtime: its functions are what lambda.Start of
// github.com/aws/aws-lambda-go takes.
//
// # Deployment
//
// The code cannot see the deployment. `sealbus doctor` checks it: the event source mapping has
// FunctionResponseTypes ReportBatchItemFailures; the queue has a dead-letter queue, and a visibility timeout
// of at least six times the function's timeout; a function that EventBridge invokes directly has an
// OnFailure destination, because without one the event is lost after two retries. Each instance of a
// function is a process of its own, so the replay store is a shared one (replay/dynamodb, replay/redis).
// MaxAge of the acceptance policy includes the retention of the queue and of its dead-letter queue.
// Otherwise an event that waited there is too old when it is read.
//
// Stable: SQS, EventBridge, Options, SQSResponse.
package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Options adjust an adapter. The zero value is the strict one.
type Options struct {
	Format Format // what a message may be; zero = FormatAuto
	// Parallel is how many messages of a batch are handled at a time, of a FIFO queue how many groups.
	// 0 = 10, 1 = one after the other.
	Parallel int
	// Margin is how long before the end of the invocation's time the handlers' context ends. No message is
	// begun after that. 0 = a tenth of the invocation's time, at most 10 s.
	Margin time.Duration
	// Logger logs the messages that were not begun, which the consumer does not see; nil = slog.Default().
	Logger *slog.Logger
	Now    func() time.Time // the wall clock that the invocation's time is judged by; nil = time.Now

	// OnlyEventBridgeWrites says that only EventBridge can send to the queue or invoke the function: its
	// policy allows the service alone, and only for the ARN of a rule without an input transformer. The
	// "replay-name" of a delivery is then believed, and may have a consumer.Permission. false = the name is
	// ignored, and a replay is judged like any other delivery.
	OnlyEventBridgeWrites bool

	// Hold keeps messages in the queue for longer while trust is unavailable, so that they do not use up its
	// maxReceiveCount; nil = they come again after its visibility timeout. Only SQS uses it.
	Hold Holder

	// FailWholeBatch makes every failure one of the whole batch. It is for an event source mapping that
	// cannot have ReportBatchItemFailures: Lambda would ignore an answer that names some messages, and
	// delete all. false = the answer names the messages that failed.
	FailWholeBatch bool
}

// defaultParallel is how many messages of a batch are handled at a time: all of an ordinary batch.
const defaultParallel = 10

// maxDefaultMargin is the longest default margin. After the handler, an event still needs the replay store's
// answer and the Observer's flush. With a store that works, they take no longer.
const maxDefaultMargin = 10 * time.Second

// ErrTimeUp is the cause with which a handler's context ends at the margin, and in the error of an
// invocation, or of a message, that was not begun for that reason.
var ErrTimeUp = errors.New("awslambda: the invocation's time is nearly up")

// flushTimeout bounds the flush of an invocation that has no deadline: outside Lambda.
const flushTimeout = 5 * time.Second

// adapter is what the invocations of one function share.
type adapter struct {
	consumer *consumer.Consumer
	handler  consumer.Handler
	opts     Options
	err      error // why no invocation can succeed
}

// EventBridge is the function that is the target of a rule, or that another service invokes with one event:
// see Format. After an error Lambda invokes it again, twice by default. Then it sends the event to the
// function's OnFailure destination. Without one the event is lost, so a queue in between is the better
// topology.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
//
// The handler is a consumer.Handler, or takes the data as a T as with consumer.Typed. opts may be nil.
func EventBridge[T any](c *consumer.Consumer, handle func(ctx context.Context, d consumer.Delivery[T]) error,
	opts *Options) func(context.Context, json.RawMessage) (struct{}, error) {
	return newAdapter(c, handle, opts).eventBridge
}

func newAdapter[T any](c *consumer.Consumer, handle func(context.Context, consumer.Delivery[T]) error,
	opts *Options) *adapter {
	a := &adapter{consumer: c, handler: consumer.Typed(handle)}
	if opts != nil {
		a.opts = *opts
	}
	a.opts.setDefaults()
	if a.err = a.opts.check(); c == nil {
		a.err = errors.New("no consumer")
	} else if c.Name() == "" {
		a.err = errors.New("the consumer is empty: consumer.New makes one")
	} else if handle == nil {
		a.err = errors.New("no handler")
	}
	if a.err != nil {
		a.err = fmt.Errorf("awslambda: %w", a.err)
	}
	return a
}

func (o *Options) setDefaults() {
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (o *Options) check() error {
	switch {
	case o.Format < FormatAuto || o.Format > FormatCloudEvent:
		return fmt.Errorf("unknown Format %d", o.Format)
	case o.Parallel < 0:
		return fmt.Errorf("Parallel is %d: give at least 1, or 0 for %d", o.Parallel, defaultParallel)
	case o.Margin < 0:
		return fmt.Errorf("Margin is %v: give a duration, or 0 for a tenth of the time", o.Margin)
	}
	return errors.Join(nilcheck.Typed("Options.Hold", o.Hold), nilcheck.Logger("Options.Logger", o.Logger))
}

var errBatch = errors.New("awslambda: the function was invoked with several messages, not with one event: use awslambda.SQS behind a queue")

// batchError says what the several messages are, where that is known.
func (s *shape) batchError() error {
	if s.several == "" {
		return errBatch
	}
	return fmt.Errorf("%w: %s; or give the event source mapping or pipe a batch size of 1", errBatch,
		s.several)
}

func (a *adapter) eventBridge(ctx context.Context, payload json.RawMessage) (struct{}, error) {
	if a.err != nil {
		return struct{}{}, a.err
	}
	msg, s := a.message(payload)
	if s.batch {
		return struct{}{}, s.batchError() // a quarantine would take it for one event, and all would be acknowledged
	}
	defer a.flush(ctx)
	run, cancel := a.within(ctx)
	defer cancel()
	if err := run.over(); err != nil {
		return struct{}{}, err
	}
	_, err := a.consumer.Handle(run, msg, a.handler)
	if noQuarantine(err) {
		a.logNoQuarantine(run, 1)
	}
	return struct{}{}, err
}

// invocation is the context of what is begun in one invocation. It ends at the margin.
type invocation struct {
	context.Context
	cut time.Time // zero = the invocation has no end
	now func() time.Time
}

// within is the time in which things may be begun.
//
// If a handler ignores the end of its context, the invocation waits for it: beyond the margin, and if need
// be until Lambda kills the process. To answer without it would be worse. Lambda freezes the process after
// the answer, and the handler would go on in some later invocation. By then its lease has expired, another
// worker has handled the event, and later events of its group in a FIFO queue were handled. The token keeps
// such a handler from completing its claim, but nothing keeps it from having its effect. A handler that is
// killed is repeated, with the same IdempotencyKey.
func (a *adapter) within(ctx context.Context) (*invocation, context.CancelFunc) {
	in := &invocation{now: a.opts.Now}
	end, ok := ctx.Deadline()
	if !ok {
		run, cancel := context.WithCancel(ctx)
		in.Context = run
		return in, cancel
	}
	margin := a.opts.Margin
	if margin == 0 {
		margin = min(max(end.Sub(in.wall()), 0)/10, maxDefaultMargin)
	}
	in.cut = end.Add(-margin).Round(0)
	run, cancel := context.WithDeadlineCause(ctx, in.cut, ErrTimeUp)
	in.Context = run
	return in, cancel
}

// wall is the wall clock alone: the monotonic clock stands still while a process is frozen.
func (in *invocation) wall() time.Time { return in.now().Round(0) }

// over is why nothing more may be begun; nil = it may. The clock is asked, because the timer of a context
// may be late in a process that was frozen.
func (in *invocation) over() error {
	if in.Err() != nil {
		return context.Cause(in)
	}
	if !in.cut.IsZero() && !in.wall().Before(in.cut) {
		return ErrTimeUp
	}
	return nil
}

// flush has the Observer write what it kept back. It takes at most half of the time that is left, so that an
// invocation that succeeded does not time out and have its events delivered again. If it fails, the outcomes
// stand.
func (a *adapter) flush(ctx context.Context) {
	ctx, cancel := a.half(ctx)
	defer cancel()
	if err := a.consumer.Flush(ctx); err != nil {
		a.opts.Logger.WarnContext(ctx, "sealbus: the observer was not flushed", "consumer", a.consumer.Name(),
			"error", err)
	}
}

// half ends when half of the time that is left is over; without a deadline after flushTimeout.
func (a *adapter) half(ctx context.Context) (context.Context, context.CancelFunc) {
	left := flushTimeout
	if end, ok := ctx.Deadline(); ok {
		left = end.Sub(a.opts.Now().Round(0)) / 2
	}
	return context.WithTimeout(ctx, left)
}
