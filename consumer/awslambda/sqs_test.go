package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// One of each: handled, duplicate, forged, failed.
func TestSQSAcknowledgesWhatIsQuarantined(t *testing.T) {
	w := newWorld(t)
	w.failing("c")
	first := w.delivery("a")
	w.want(w.invoke(awslambdatest.SQS(t, first)))
	same(t, "handled", w.taken(), []string{"a"})

	got := w.invoke(awslambdatest.SQS(t, first, w.org.Broken(t, envelope.ReasonModified).EventBridge(),
		w.delivery("c"), w.delivery("d")))
	w.want(got, "message-3")
	if string(got.Response) != `{"batchItemFailures":[{"itemIdentifier":"message-3"}]}` {
		t.Errorf("the response is %s", got.Response)
	}
	same(t, "handled", w.sortedItems(), []string{"c", "d"})
	same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonModified})
}

// With nothing to deliver again the list is there, and empty.
func TestSQSAllHandled(t *testing.T) {
	w := newWorld(t)
	got := w.invoke(awslambdatest.SQS(t, w.deliveries("a", "b")...))
	if w.want(got); got.Err != nil || string(got.Response) != `{"batchItemFailures":[]}` {
		t.Errorf("got %s, %v", got.Response, got.Err)
	}
	if got := w.invoke([]byte(`{"Records":[]}`)); got.Err != nil ||
		string(got.Response) != `{"batchItemFailures":[]}` {
		t.Errorf("no messages: %s, %v", got.Response, got.Err)
	}
}

// Whatever an event is refused for, it is in quarantine and acknowledged if it can never pass, and is
// delivered again if it could not be judged. In both formats.
func TestSQSEveryReason(t *testing.T) {
	for _, reason := range envelopetest.BrokenReasons() {
		t.Run(string(reason), func(t *testing.T) {
			for _, bus := range []bool{true, false} {
				w := newWorld(t)
				broken := w.org.Broken(t, reason)
				body := broken.JSON
				if bus {
					body = broken.EventBridge()
				} else if reason == envelope.ReasonAccountMismatch ||
					reason == envelope.ReasonEnvelopeMismatch {
					continue // only a bus names these
				}
				w.trust, w.policy = broken.Trust, *broken.Policy
				got := w.invoke(awslambdatest.SQS(t, body, w.delivery("good")))
				if reason.Class() == envelope.Permanent {
					w.want(got)
					same(t, "in quarantine", w.bin.reasons()[:1], []envelope.Reason{reason})
				} else if len(got.Failed) == 0 || got.Failed[0] != "message-1" {
					t.Errorf("failed: %v", got.Failed)
				}
			}
		})
	}
}

func TestSQSWithoutQuarantine(t *testing.T) {
	w := newWorld(t)
	forged := w.org.Broken(t, envelope.ReasonBadSignature).EventBridge()
	for name, broken := range map[string]consumer.Quarantine{"none": nil,
		"down": &bin{err: errors.New("down")}} {
		w.core.Quarantine = broken
		w.want(w.invoke(awslambdatest.SQS(t, forged, w.delivery(name))), "message-1")
	}
	w.core.Quarantine = nil
	_, err := w.sqs()(t.Context(), awslambdatest.SQS(t, forged))
	if _, ok := errors.AsType[*consumer.QuarantineError](err); !ok {
		t.Errorf("the error is %v", err)
	}
}

// When every message failed, so does the invocation: where ReportBatchItemFailures is missing, nothing is
// lost.
func TestSQSAllFailed(t *testing.T) {
	w := newWorld(t)
	batch := awslambdatest.SQS(t, w.deliveries("a", "b")...)
	w.store.down = errors.New("connection refused")
	got := w.invoke(batch)
	w.want(got, "message-1", "message-2")
	if envelope.ReasonOf(got.Err) != envelope.ReasonStoreUnavailable || got.Response != nil {
		t.Errorf("got %s, %v", got.Response, got.Err)
	}
	w.store.down = nil
	w.want(w.invoke(batch))
	same(t, "handled", w.sortedItems(), []string{"a", "b"})
}

func TestSQSFailWholeBatch(t *testing.T) {
	w := newWorld(t)
	w.opts.FailWholeBatch = true
	w.failing("b")
	batch := awslambdatest.SQS(t, w.deliveries("a", "b", "c")...)
	if got := w.invoke(batch); envelope.ReasonOf(got.Err) != envelope.ReasonHandlerFailed {
		t.Errorf("got %s, %v", got.Response, got.Err)
	}
	w.taken()
	w.handler = nil
	if got := w.invoke(batch); got.Err != nil {
		t.Error(got.Err)
	}
	same(t, "handled again", w.taken(), []string{"b"})
}

// However a handler ends, its message is delivered again unless it returned nil.
func TestSQSHandlersThatEndOddly(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("boom") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			for _, parallel := range []int{1, 4} {
				w := newWorld(t)
				w.opts.Parallel = parallel
				w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
					if d.Data.Item == "b" {
						end()
					}
					return nil
				}
				batch := awslambdatest.SQS(t, w.deliveries("a", "b", "c")...)
				got := w.invoke(batch)
				if slices.Contains(got.Failed, "message-1") || !slices.Contains(got.Failed, "message-2") {
					t.Errorf("%d at a time: failed %v", parallel, got.Failed)
				}
				w.handler = nil
				w.want(w.invoke(batch))
				if items := w.taken(); !slices.Contains(items, "b") || !slices.Contains(items, "c") {
					t.Errorf("%d at a time: handled %v", parallel, items)
				}
			}
		})
	}
}

// Code that panics beside the handler fails its own message, and ends neither the batch nor the process.
func TestSQSStorePanics(t *testing.T) {
	for name, broken := range map[string]any{"panic": "boom", "panic of nil": nil} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GODEBUG", "panicnil=1") // recover sees no panic(nil) then
			w := newWorld(t)
			store := &panickingStore{Store: w.store, with: broken}
			c, err := consumer.New("billing", w.trust, store, &w.policy, &w.core)
			if err != nil {
				t.Fatal(err)
			}
			f := awslambda.SQS(c, w.handle, &w.opts)
			batch := awslambdatest.SQS(t, w.deliveries("a", "b", "c")...)
			got := awslambdatest.Invoke(w, f, batch)
			if len(got.Failed) != 1 || len(w.taken()) != 2 ||
				!strings.Contains(w.log.String(), "did not return") {
				t.Errorf("failed %v (%v), log %s", got.Failed, got.Err, w.log)
			}
			w.want(awslambdatest.Invoke(w, f, batch))
			if items := w.taken(); len(items) != 1 {
				t.Errorf("then handled %v", items)
			}
		})
	}
}

// panickingStore panics once.
type panickingStore struct {
	replay.Store
	with any
	once sync.Once
}

func (s *panickingStore) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	s.once.Do(func() { panic(s.with) })
	return s.Store.Claim(ctx, key, digest, until, lease)
}

// Three deliveries of one event at a time: one handler, and nothing comes again.
func TestSQSSameEventTwiceInABatch(t *testing.T) {
	w := newWorld(t)
	event := w.delivery("a")
	batch := awslambdatest.SQS(t, event, event, event)
	w.want(w.invoke(batch))
	w.want(w.invoke(batch))
	same(t, "handled", w.taken(), []string{"a"})
}

// Exactly Parallel handlers run at a time: each waits until as many have begun, and none ever sees more.
func TestSQSRunsParallelHandlersAtATime(t *testing.T) {
	w := newWorld(t)
	w.opts.Parallel = 3
	begun, running := make(chan struct{}), make(chan struct{}, 3)
	w.handler = func(context.Context, consumer.Delivery[order]) error {
		select {
		case running <- struct{}{}:
		default:
			t.Error("more than 3 at a time")
		}
		if len(running) == 3 {
			select {
			case <-begun:
			default:
				close(begun)
			}
		}
		<-begun
		<-running
		return nil
	}
	w.want(w.invoke(awslambdatest.SQS(t, w.deliveries("a", "b", "c", "d", "e", "f", "g", "h")...)))
	if n := len(w.taken()); n != 8 {
		t.Errorf("%d were handled", n)
	}
}

func TestFIFOFailureHoldsUpOnlyItsGroup(t *testing.T) {
	w := newWorld(t)
	w.failing("a2", "c1")
	batch := awslambdatest.FIFO(t, w.grouped("a1", "b1", "a2", "c1", "b2", "a3", "c2", "a4", "b3")...)
	w.want(w.invoke(batch), "message-3", "message-4", "message-6", "message-7", "message-8")
	items := w.taken()
	for _, group := range []string{"a", "b", "c"} {
		var of []string
		for _, item := range items {
			if strings.HasPrefix(item, group) {
				of = append(of, item)
			}
		}
		same(t, "group "+group, of, map[string][]string{"a": {"a1", "a2"}, "b": {"b1", "b2", "b3"},
			"c": {"c1"}}[group])
	}
	if !strings.Contains(w.log.String(), "messages=3 batch=9") {
		t.Errorf("the log: %s", w.log)
	}
	w.handler = nil
	w.want(w.invoke(batch))
	same(t, "then", w.sortedItems(), []string{"a2", "a3", "a4", "c1", "c2"})
}

// A message that can never pass holds up no other; one that could not be put away, or is in hand elsewhere,
// does.
func TestFIFOWhatHoldsUp(t *testing.T) {
	w := newWorld(t)
	forged := awslambdatest.Grouped{Group: "a", Body: w.org.Broken(t, envelope.ReasonUnsigned).EventBridge()}
	w.want(w.invoke(awslambdatest.FIFO(t, append([]awslambdatest.Grouped{forged}, w.grouped("a1")...)...)))
	same(t, "handled", w.taken(), []string{"a1"})

	// The consumer reopens nothing.
	record := awslambdatest.Grouped{Group: "a", Body: []byte(`{"unverified_id":""}`)}
	w.want(w.invoke(awslambdatest.FIFO(t, append([]awslambdatest.Grouped{record}, w.grouped("a0")...)...)))
	same(t, "handled", w.taken(), []string{"a0"})

	w.bin.err = errors.New("down")
	w.want(w.invoke(awslambdatest.FIFO(t, append([]awslambdatest.Grouped{forged},
		w.grouped("a2", "b2")...)...)), "message-1", "message-2")
	same(t, "handled", w.taken(), []string{"b2"})

	event := w.grouped("a3", "a4", "b4")
	w.handler = func(ctx context.Context, d consumer.Delivery[order]) error {
		if d.Data.Item == "a3" {
			w.handler = nil
			w.want(w.invoke(awslambdatest.FIFO(t, event...)), "message-1", "message-2")
		}
		return nil
	}
	w.want(w.invoke(awslambdatest.FIFO(t, event[0])))
	same(t, "handled", w.taken(), []string{"a3", "b4"})
}

// A FIFO queue is known by its name or by sequence numbers; without a group everything waits for what is
// before it.
func TestFIFOIsRecognised(t *testing.T) {
	w := newWorld(t)
	w.failing("a1")
	batch := awslambdatest.FIFO(t, w.grouped("a1", "a2", "b1")...)
	for name, change := range map[string]struct {
		old, new string
		failed   []string
	}{
		"as it is":            {"", "", []string{"message-1", "message-2"}},
		"by name":             {`"SequenceNumber"`, `"Sequence"`, []string{"message-1", "message-2"}},
		"by sequence numbers": {`events.fifo`, `events`, []string{"message-1", "message-2"}},
		"without groups": {`"MessageGroupId"`, `"messageGroupId"`,
			[]string{"message-1", "message-2", "message-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "failed", w.invoke(bytes.ReplaceAll(batch, []byte(change.old),
				[]byte(change.new))).Failed, change.failed)
		})
	}
}

// Message groups of a standard queue (fair queues) order nothing.
func TestFairQueueIsNoFIFO(t *testing.T) {
	w := newWorld(t)
	w.failing("a1")
	w.opts.Parallel = 1
	batch := awslambdatest.SQS(t, w.deliveries("a1", "a2")...)
	batch = bytes.ReplaceAll(batch, []byte(`"attributes":{`), []byte(`"attributes":{"MessageGroupId":"a",`))
	w.want(w.invoke(batch), "message-1")
	same(t, "handled", w.taken(), []string{"a1", "a2"})
}

// Groups run in parallel: the first of each waits for the first of the other.
func TestFIFOGroupsInParallel(t *testing.T) {
	w := newWorld(t)
	meet := make(chan struct{})
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		switch d.Data.Item {
		case "a1":
			meet <- struct{}{}
		case "b1":
			<-meet
		}
		return nil
	}
	w.want(w.invoke(awslambdatest.FIFO(t, w.grouped("a1", "a2", "b1")...)))
}

// Of what cannot be read as a batch nothing is begun, and the invocation fails.
func TestSQSBeginsNothingOfWhatIsNoBatch(t *testing.T) {
	w := newWorld(t)
	good := string(awslambdatest.SQS(t, w.delivery("a")))
	record := func(change ...string) string { return strings.NewReplacer(change...).Replace(good) }
	cases := map[string]string{
		"an EventBridge event":   string(w.delivery("a")),
		"no records":             `{}`,
		"records is null":        `{"Records":null}`,
		"records is an object":   `{"Records":{}}`,
		"another case":           record(`"Records"`, `"records"`),
		"records twice":          `{"Records":[],` + good[1:],
		"records twice, escaped": `{"\u0052ecords":[],` + good[1:],
		"a record is null":       `{"Records":[null]}`,
		"a record is a string":   `{"Records":["message-1"]}`,
		"no messageId":           record(`"messageId"`, `"messageID"`),
		"an empty messageId":     record(`"message-1"`, `""`),
		"a long messageId":       record(`"message-1"`, `"`+strings.Repeat("x", 101)+`"`),
		"messageId is null":      record(`"message-1"`, `null`),
		"messageId is a number":  record(`"message-1"`, `1`),
		"messageId twice": record(`"messageId":"message-1"`,
			`"messageId":"message-1","messageId":"message-2"`),
		"messageId is no Unicode": record(`"message-1"`, `"\ud800"`),
		"body twice":              record(`"body":`, `"body":"","body":`),
		"attributes is a string":  record(`"attributes":{`, `"attributes":"","other":{`),
		"a group twice": record(`"attributes":{`,
			`"attributes":{"MessageGroupId":"a","MessageGroupId":"b",`),
		"a group is a number": record(`"attributes":{`, `"attributes":{"MessageGroupId":1,`),
		"a record of Kinesis": record(`"aws:sqs"`, `"aws:kinesis"`),
		"something after it":  good + `{}`,
		"an array":            `[` + good + `]`,
		"null":                `null`,
		"a string":            `"Records"`,
		"not JSON":            `{"Records":[`,
		"nothing":             ``,
		"too many records": `{"Records":[` + strings.Repeat(`{"messageId":"1","body":"1"},`, 10_000) +
			`{"messageId":"1","body":"1"}]}`,
		"too large": `{"Records":[],"padding":"` + strings.Repeat("x", 8<<20) + `"}`,
	}
	for name, payload := range cases {
		t.Run(name, func(t *testing.T) {
			response, err := w.sqs()(t.Context(), json.RawMessage(payload))
			if err == nil || response.BatchItemFailures != nil {
				t.Errorf("got %v, %v", response, err)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	if items := w.taken(); items != nil || len(w.bin.reasons()) > 0 {
		t.Errorf("handled %v, in quarantine %v", items, w.bin.reasons())
	}
}

// A message that can be named, but whose body cannot be read, fails alone.
func TestSQSBodyThatIsNoText(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{`null`, `1`, `{}`, `{"x":"y"}`, `["x"]`, `"\ud800"`, "\"\xff\""} {
		batch := bytes.Replace(awslambdatest.SQS(t, []byte("mark"), w.delivery("a")), []byte(`"mark"`),
			[]byte(body), 1)
		response, err := w.sqs()(t.Context(), batch)
		if want := []awslambda.SQSItemFailure{{ItemIdentifier: "message-1"}}; err != nil ||
			!slices.Equal(response.BatchItemFailures, want) {
			t.Errorf("%s: %v, %v", body, response, err)
		}
	}
	batch := bytes.Replace(awslambdatest.SQS(t, []byte("mark"), w.delivery("b")), []byte(`"body":"mark",`),
		nil, 1)
	w.want(w.invoke(batch), "message-1")
	if len(w.bin.reasons()) > 0 {
		t.Errorf("in quarantine: %v", w.bin.reasons())
	}
}

// A full batch of a standard queue, none of which is lost.
func TestSQSLosesNoneOfTenThousand(t *testing.T) {
	w := newWorld(t)
	bodies := make([][]byte, 10_000)
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, "forged %d", i)
	}
	w.want(w.invoke(awslambdatest.SQS(t, bodies...)))
	seen := map[string]bool{}
	for _, r := range w.bin.records {
		seen[string(r.Message.Body)] = r.Reason == envelope.ReasonMalformed
	}
	for _, body := range bodies {
		if !seen[string(body)] {
			t.Fatalf("%s is lost", body)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	w := newWorld(t)
	batch := awslambdatest.SQS(t, w.delivery("a"))
	for name, opts := range map[string]awslambda.Options{
		"Format": {Format: 3}, "a negative Format": {Format: -1}, "Parallel": {Parallel: -1},
		"Margin": {Margin: -1},
	} {
		if got := awslambdatest.Invoke(t, awslambda.SQS(w.consumer(), w.handle, &opts),
			batch); got.Err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if got := awslambdatest.Invoke(t, awslambda.SQS(nil, w.handle, nil), batch); got.Err == nil {
		t.Error("no consumer was taken")
	}
	empty := awslambda.EventBridge(&consumer.Consumer{}, w.handle, nil)
	got := awslambdatest.Invoke(t, empty, w.delivery("a"))
	if got.Err == nil || !strings.Contains(got.Err.Error(), "consumer.New makes one") {
		t.Errorf("an empty consumer: %v", got.Err)
	}
	var none consumer.Handler
	if got := awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), none, nil),
		w.delivery("a")); got.Err == nil {
		t.Error("no handler was taken")
	}
	if items := w.taken(); items != nil {
		t.Errorf("handled %v", items)
	}
}
