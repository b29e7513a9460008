package awslambda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/observe/emf"
)

const canary = "tangerine-zeppelin-0451"

// The answer to Lambda, and the log, quote nothing of decrypted data, however a handler fails.
func TestAnswerTellsNoDecryptedData(t *testing.T) {
	type delivery = consumer.Delivery[[]byte]
	type numbers = consumer.Delivery[struct{ Item int }]
	for name, handle := range map[string]func(context.Context, delivery) error{
		"error": func(_ context.Context, d delivery) error { return fmt.Errorf("bad %s", d.Data) },
		"panic": func(_ context.Context, d delivery) error { panic(string(d.Data)) },
		"both":  func(_ context.Context, d delivery) error { panic(errors.New(string(d.Data))) },
		"unfit": consumer.Typed(func(context.Context, numbers) error { return nil }),
	} {
		for _, fields := range [][]string{nil, {"/item"}} {
			w := newWorld(t)
			w.policy.Decrypter, w.core.Quarantine = w.org.Policy().Decrypter, nil
			w.core.Logger = slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			var metrics bytes.Buffer
			observer, err := emf.New(&emf.Options{Writer: &metrics})
			if err != nil {
				t.Fatal(err)
			}
			w.core.Observer = observer
			body := w.org.EncryptedEvent(t, typ, order{canary}, fields...).JSON()
			queue := awslambda.SQS(w.consumer(), handle, &w.opts)
			alone := awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), handle, &w.opts), body)
			all := awslambdatest.Invoke(t, queue, awslambdatest.SQS(t, body))
			some := awslambdatest.Invoke(t, queue, awslambdatest.SQS(t, body, []byte("no event")))
			if alone.Err == nil || all.Err == nil || len(some.Failed) != 2 {
				t.Fatalf("%s: not failed: %v, %v, %v", name, alone.Err, all.Err, some.Failed)
			}
			text := string(some.Response)
			for _, err := range []error{alone.Err, all.Err, some.Err} {
				text += fmt.Sprintf("%v %+v %#v\n", err, err, err)
			}
			for what, text := range map[string]string{"answer": text, "log": w.log.String(),
				"metrics": metrics.String()} {
				if strings.Contains(text, "tangerine") || strings.Contains(text, "zeppelin") || text == "" {
					t.Errorf("%s: the %s: %s", name, what, text)
				}
			}
			if name == "error" && !strings.Contains(text, "the handler failed with a ") {
				t.Errorf("it does not say that the handler failed: %s", text)
			}
		}
	}
}

// A forgery without a quarantine is called a rejected event, and not an outage: in the log of the consumer
// and of the function, and in what Lambda is answered. It is delivered again all the same.
func TestForgeryWithoutQuarantine(t *testing.T) {
	w := newWorld(t)
	w.core.Quarantine, w.core.Logger = nil, w.opts.Logger
	forged := w.org.Broken(t, envelope.ReasonBadSignature).EventBridge()
	alone := awslambda.EventBridge(w.consumer(), w.handle, &w.opts)
	answers := map[string]func() *awslambdatest.Result{
		"alone":          func() *awslambdatest.Result { return awslambdatest.Invoke(t, alone, forged) },
		"all of a batch": func() *awslambdatest.Result { return w.invoke(awslambdatest.SQS(t, forged)) },
		"some of a batch": func() *awslambdatest.Result {
			return w.invoke(awslambdatest.SQS(t, forged, w.delivery("good")))
		},
	}
	for name, invoke := range answers {
		w.log.Reset()
		got := invoke()
		if got.Err == nil && len(got.Failed) != 1 {
			t.Errorf("%s: it is lost: %+v", name, got)
		}
		if name != "some of a batch" {
			text := fmt.Sprint(got.Err)
			q, ok := errors.AsType[*consumer.QuarantineError](got.Err)
			if !ok || q.Err != nil || !hasAll(text, "a rejected event", "set Options.Quarantine") {
				t.Errorf("%s: the error is %s", name, text)
			}
		}
		log := w.log.String()
		if !hasAll(log, "sealbus: rejected, but there is no quarantine", "set consumer.Options.Quarantine",
			"messages=1") ||
			strings.Contains(log, "sealbus: retry") {
			t.Errorf("%s: the log is %s", name, log)
		}
	}
	w.log.Reset()
	if w.invoke(awslambdatest.SQS(t, w.delivery("fine"))); strings.Contains(w.log.String(), "quarantine") {
		t.Errorf("nothing was rejected, but the log is %s", w.log)
	}
}

func hasAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// muteError is an error whose methods panic.
type muteError struct{ text *string }

func (m *muteError) Error() string { return *m.text }
func (m *muteError) Unwrap() error { panic(canary) }

// An error that cannot be looked at ends no invocation.
func TestErrorWhosePartsPanic(t *testing.T) {
	w := newWorld(t)
	handle := func(context.Context, consumer.Delivery[[]byte]) error { return &muteError{} }
	for name, invoke := range map[string]func() *awslambdatest.Result{
		"alone": func() *awslambdatest.Result {
			return awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), handle, &w.opts),
				w.delivery("a"))
		},
		"batch": func() *awslambdatest.Result {
			return awslambdatest.Invoke(t, awslambda.SQS(w.consumer(), handle, &w.opts),
				awslambdatest.SQS(t, w.delivery("b")))
		},
	} {
		if got := invoke(); envelope.ReasonOf(got.Err) != envelope.ReasonHandlerFailed {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
}
