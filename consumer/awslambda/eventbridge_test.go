package awslambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys/trust"
)

func (w *world) eventBridge() func(context.Context, json.RawMessage) (struct{}, error) {
	w.Helper()
	return awslambda.EventBridge(w.consumer(), w.handle, &w.opts)
}

// newTrust is the organisation's trust, published anew at its clock.
func (w *world) newTrust() trust.Source {
	w.Helper()
	now, signer := w.org.Now(), w.org.Signer()
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 2, Issued: now,
		Expires: now.Add(24 * time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	if err != nil {
		w.Fatal(err)
	}
	return bundle
}

func TestEventBridgeHandlesOnce(t *testing.T) {
	w := newWorld(t)
	event := w.delivery("a")
	for _, want := range [][]string{{"a"}, nil} { // handled, then a duplicate
		got := awslambdatest.Invoke(t, w.eventBridge(), event)
		if got.Err != nil || string(got.Response) != `{}` || got.Failed != nil {
			t.Errorf("got %s, %v", got.Response, got.Err)
		}
		same(t, "handled", w.taken(), want)
	}

	w.failing("b")
	failing := w.delivery("b")
	if got := awslambdatest.Invoke(t, w.eventBridge(),
		failing); envelope.ReasonOf(got.Err) != envelope.ReasonHandlerFailed {
		t.Errorf("a handler that failed: %v", got.Err)
	}
	w.handler = nil
	if got := awslambdatest.Invoke(t, w.eventBridge(), failing); got.Err != nil {
		t.Errorf("Lambda's retry: %v", got.Err)
	}
	same(t, "handled", w.taken(), []string{"b", "b"})
}

func TestEventBridgeRefuses(t *testing.T) {
	w := newWorld(t)
	forged := w.org.Broken(t, envelope.ReasonEnvelopeMismatch).EventBridge()
	if got := awslambdatest.Invoke(t, w.eventBridge(), forged); got.Err != nil {
		t.Errorf("what is in quarantine is not to be delivered again: %v", got.Err)
	}
	same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonEnvelopeMismatch})
	w.bin.err = errors.New("down")
	got := awslambdatest.Invoke(t, w.eventBridge(), forged)
	if _, ok := errors.AsType[*consumer.QuarantineError](got.Err); !ok {
		t.Errorf("the error is %v", got.Err)
	}
}

// Of a batch, one record in quarantine would acknowledge all messages: from a queue, or as a list, as
// EventBridge Pipes sends it.
func TestEventBridgeIsSentABatch(t *testing.T) {
	w := newWorld(t)
	one := w.delivery("a")
	for name, payload := range map[string][]byte{
		"from a queue": awslambdatest.SQS(t, one, w.delivery("b")),
		"a list":       slices.Concat([]byte(" ["), one, []byte(","), w.delivery("b"), []byte("]")),
	} {
		if got := awslambdatest.Invoke(t, w.eventBridge(), payload); got.Err == nil ||
			!strings.Contains(got.Err.Error(), "awslambda.SQS") {
			t.Errorf("%s: the error is %v", name, got.Err)
		}
	}
	if len(w.bin.reasons()) > 0 {
		t.Errorf("in quarantine: %v", w.bin.reasons())
	}
}

// The account that EventBridge wrote is what the bundle's account lists are held against.
func TestAccountOfEventBridgeIsChecked(t *testing.T) {
	w := newWorld(t)
	signer := w.org.Signer()
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"}, Accounts: []string{"111111111111"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.trust = bundle
	sealed := w.sealed("a")
	for _, body := range [][]byte{w.deliver(sealed, nil), sealed.JSON(),
		w.deliver(sealed, &envelopetest.Delivered{Account: "111111111111"})} {
		w.want(w.invoke(awslambdatest.SQS(t, body)))
	}
	same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonAccountMismatch,
		envelope.ReasonAccountMismatch})
	same(t, "handled", w.taken(), []string{"a"})
}

// flusher keeps reports back until it is flushed.
type flusher struct {
	kept, written []envelope.Reason
	left          time.Duration
	err           error
}

func (f *flusher) Delivered(_ context.Context, r consumer.Result) {
	f.kept = append(f.kept, r.Reason())
}

func (f *flusher) Flush(ctx context.Context) error {
	end, _ := ctx.Deadline()
	f.left = time.Until(end)
	f.written, f.kept = append(f.written, f.kept...), nil
	return f.err
}

// The observer is flushed at the end of every invocation, in a part of the time that is left, and cannot fail
// it.
func TestObserverIsFlushedAfterEachInvocation(t *testing.T) {
	w := newWorld(t)
	f := &flusher{err: errors.New("no space")}
	w.core.Observer, w.opts.Parallel = f, 1
	w.failing("b")
	w.want(w.invoke(awslambdatest.SQS(t, w.deliveries("a", "b")...)), "message-2")
	same(t, "written", f.written, []envelope.Reason{"", envelope.ReasonHandlerFailed})
	if f.left <= 0 || f.left > awslambdatest.Timeout/2 {
		t.Errorf("the flush had %v", f.left)
	}
	if !strings.Contains(w.log.String(), "no space") {
		t.Errorf("the log: %s", w.log)
	}
	f.written = nil
	if got := awslambdatest.Invoke(t, w.eventBridge(),
		w.org.Broken(t, envelope.ReasonUnsigned).EventBridge()); got.Err != nil {
		t.Error(got.Err)
	}
	same(t, "written", f.written, []envelope.Reason{envelope.ReasonUnsigned})
}

// Outside Lambda there is no deadline, and nothing ends before it is done.
func TestNoDeadlineOutsideLambda(t *testing.T) {
	w := newWorld(t)
	f := &flusher{}
	w.core.Observer = f
	w.handler = func(ctx context.Context, _ consumer.Delivery[order]) error {
		if _, ok := ctx.Deadline(); ok {
			t.Error("the handler has a deadline")
		}
		return nil
	}
	response, err := w.sqs()(context.Background(), awslambdatest.SQS(t, w.delivery("a")))
	if err != nil || len(response.BatchItemFailures) > 0 || len(f.written) != 1 || f.left <= 0 {
		t.Errorf("got %v, %v, %+v", response, err, f)
	}
}

// A typed handler, as the README shows it, and every other form that a handler has.
func TestHandlers(t *testing.T) {
	w := newWorld(t)
	body := w.sealed("a").JSON()
	n := 0
	for _, function := range []func(context.Context, json.RawMessage) (awslambda.SQSResponse, error){
		awslambda.SQS(w.consumer(), func(_ context.Context, d consumer.Delivery[order]) error { n++; return check(d.Data.Item == "a") }, nil),
		awslambda.SQS(w.consumer(), func(_ context.Context, d consumer.Delivery[[]byte]) error {
			n++
			return check(string(d.Data) == `{"item":"a"}`)
		}, nil),
		awslambda.SQS(w.consumer(), consumer.Typed(func(_ context.Context, d consumer.Delivery[order]) error { n++; return check(d.Data.Item == "a") }), nil),
	} {
		w.store.Store = newStore(w.org)
		w.want(awslambdatest.Invoke(t, function, awslambdatest.SQS(t, body)))
	}
	if n != 3 {
		t.Errorf("%d were called", n)
	}
	unfit := awslambda.SQS(w.consumer(), consumer.Typed(func(context.Context, consumer.Delivery[int]) error { return nil }), nil)
	w.store.Store = newStore(w.org)
	w.want(awslambdatest.Invoke(t, unfit, awslambdatest.SQS(t, body)))
	same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonSchemaInvalid})
}

func check(ok bool) error {
	if !ok {
		return errors.New("other data")
	}
	return nil
}
