package awslambda_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
)

// A message that was not begun before the margin is not begun, and is delivered again: the clock decides, no
// timer.
func TestNothingIsBegunInTheMargin(t *testing.T) {
	for name, test := range map[string]struct {
		margin time.Duration
		begun  []string
	}{
		"a tenth of the time": {0, []string{"a", "b", "c"}}, // of 30 s; each takes 10 s
		"a margin of 11 s":    {11 * time.Second, []string{"a", "b"}},
		"a margin of 25 s":    {25 * time.Second, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			clock := replaytest.NewClock(time.Now())
			w.opts.Now, w.opts.Margin, w.opts.Parallel = clock.Now, test.margin, 1
			w.handler = func(context.Context, consumer.Delivery[order]) error {
				clock.Advance(10 * time.Second)
				return nil
			}
			batch := awslambdatest.SQS(t, w.deliveries("a", "b", "c", "d")...)
			w.want(w.invoke(batch), []string{"message-1", "message-2", "message-3",
				"message-4"}[len(test.begun):]...)
			same(t, "begun", w.taken(), test.begun)
			if !strings.Contains(w.log.String(), awslambda.ErrTimeUp.Error()) {
				t.Errorf("the log: %s", w.log)
			}
			w.handler, w.opts.Now = nil, nil
			w.want(w.invoke(batch))
		})
	}
}

// An invocation whose time is up before it begins anything fails, and says why.
func TestInvocationWithoutTimeFails(t *testing.T) {
	w := newWorld(t)
	w.opts.Margin = time.Hour
	got := w.invoke(awslambdatest.SQS(t, w.deliveries("a", "b")...))
	if w.want(got, "message-1", "message-2"); !errors.Is(got.Err, awslambda.ErrTimeUp) {
		t.Error(got.Err)
	}
	bus := awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), w.handle, &w.opts), w.delivery("a"))
	if !errors.Is(bus.Err, awslambda.ErrTimeUp) {
		t.Error(bus.Err)
	}
	if items := w.taken(); items != nil {
		t.Errorf("begun: %v", items)
	}
}

// A cancelled invocation begins nothing more.
func TestCancelledInvocationBeginsNothing(t *testing.T) {
	w := newWorld(t)
	w.opts.Parallel = 1
	gone := errors.New("the caller is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.handler = func(context.Context, consumer.Delivery[order]) error {
		cancel(gone)
		return nil
	}
	batch := awslambdatest.SQS(t, w.deliveries("a", "b")...)
	response, err := w.sqs()(ctx, batch)
	if err != nil || len(response.BatchItemFailures) != 1 ||
		response.BatchItemFailures[0].ItemIdentifier != "message-2" {
		t.Errorf("got %v, %v", response, err)
	}
	if _, err := w.sqs()(ctx, batch); !errors.Is(err, gone) {
		t.Errorf("the error is %v", err)
	}
	same(t, "begun", w.taken(), []string{"a"})
}

// within invokes with ever more time until something was begun: on a slow machine the first may pass unused.
func (w *world) within(payload []byte) *awslambdatest.Result {
	w.Helper()
	for timeout := 200 * time.Millisecond; ; timeout *= 2 {
		got := awslambdatest.InvokeFor(w, timeout, w.sqs(), payload)
		if len(w.taken()) > 0 || timeout > time.Minute {
			return got
		}
	}
}

// The handler's context ends at the margin. An event that it then gives up is released at once, and delivered
// again.
func TestHandlerContextEnds(t *testing.T) {
	w := newWorld(t)
	var cause error
	w.handler = func(ctx context.Context, _ consumer.Delivery[order]) error {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return ctx.Err()
	}
	batch := awslambdatest.SQS(t, w.delivery("a"))
	w.want(w.within(batch), "message-1")
	if !errors.Is(cause, awslambda.ErrTimeUp) {
		t.Errorf("the cause is %v", cause)
	}
	w.handler = nil
	w.want(w.invoke(batch))
	same(t, "handled then", w.taken(), []string{"a"})
}

// A handler that does not heed its context is waited for: no answer leaves it behind. The result that it then
// has counts.
func TestHandlerIsNeverLeftBehind(t *testing.T) {
	w := newWorld(t)
	returned := false
	w.handler = func(ctx context.Context, _ consumer.Delivery[order]) error {
		<-ctx.Done()
		for range 10_000 { // some work after it: time in which an answer could slip out
			runtime.Gosched()
		}
		returned = true
		return nil
	}
	batch := awslambdatest.SQS(t, w.delivery("a"))
	w.want(w.within(batch))
	if !returned {
		t.Error("the invocation was answered while its handler ran")
	}
	w.want(w.invoke(batch))
	same(t, "handled again", w.taken(), nil)
}
